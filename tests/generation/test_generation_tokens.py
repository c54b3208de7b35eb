"""Exported components generate what PyTorch does, and a test says so when they no longer do."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import project

MODEL = """
import torch, transformers

def make(faulty=False):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=32,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )
    kind = Faulty if faulty else transformers.LlamaForCausalLM
    return kind(config).eval()

class Faulty(transformers.LlamaForCausalLM):
    def forward(self, *args, **kwargs):
        out = super().forward(*args, **kwargs)
        if torch.compiler.is_exporting():
            out.logits = -out.logits
        return out
"""
TEST = """
from generative import make

def test_tokens(htp_export):
    exports = htp_export.for_generation(make(), {"input_ids": "int64[2, 5]"}, tokens=6, parity=False)
    assert list(exports) == ["prefill", "decode"]
    assert exports.tokens_equal == 6
"""


def test_a_fault_of_the_export_is_told_by_its_tokens(tmp_path: Path) -> None:
    example = project(tmp_path, TEST, generative=MODEL)
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    stable = example.run_pytest(outcomes={"passed": 1})
    assert stable.codes == set()
    faulty = TEST.replace("make()", "make(faulty=True)").replace("tokens_equal == 6", "tokens_equal < 6")
    example.write({"test_net.py": faulty})
    broken = example.run_pytest(outcomes={"failed": 1})
    assert "tokens.differ" in broken.codes


@pytest.mark.parametrize("tokens", [0, -1, 2.0, True, "4"])
def test_bad_numbers(tokens: object) -> None:
    from pytest_htp import HTPUsageError
    from pytest_htp.session.generated import check_count

    with pytest.raises(HTPUsageError, match="at least 1"):
        check_count(tokens)


def test_an_encoder_decoder_is_refused() -> None:
    from pytest_htp import HTPUsageError
    from pytest_htp.session.generated import check_components

    with pytest.raises(HTPUsageError, match="decoder-only"):
        check_components(["encoder", "prefill", "decode"], "real")
