"""Exported components generate what PyTorch does, and a test says so when they no longer do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

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


def test_tokens_of_an_export_that_is_wrong_differ(tmp_path: Path) -> None:
    faulty = TEST.replace("make()", "make(faulty=True)").replace("tokens_equal == 6", "tokens_equal < 6")
    example = project(tmp_path, faulty.replace("parity=False", "parity=False, baseline=False"), generative=MODEL)
    example.run_pytest(outcomes={"passed": 1})


@pytest.mark.slow
def test_a_fault_of_the_export_is_told_by_its_tokens(tmp_path: Path) -> None:
    example = project(tmp_path, TEST, generative=MODEL)
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    faulty = TEST.replace("make()", "make(faulty=True)").replace("tokens_equal == 6", "tokens_equal < 6")
    example.write({"test_net.py": faulty})
    broken = example.run_pytest(outcomes={"failed": 1})
    assert "tokens.differ" in broken.codes


@pytest.mark.parametrize("tokens", [0, -1, 2.0, True, "4"])
def test_bad_numbers(tokens: object) -> None:
    from pytest_htp import HTPUsageError
    from pytest_htp.session.generated import check_tokens

    with pytest.raises(HTPUsageError, match="at least 1"):
        check_tokens(tokens, None)


def test_a_static_cache_needs_a_size() -> None:
    from pytest_htp import HTPUsageError
    from pytest_htp.session.generated import check_tokens

    check_tokens(4, SimpleNamespace(cache_implementation="static", max_cache_len=16))
    check_tokens(4, SimpleNamespace(cache_implementation=None))
    with pytest.raises(HTPUsageError, match="'static' need max_cache_len in the generation_config"):
        check_tokens(4, SimpleNamespace(cache_implementation="static", max_cache_len=None))


@pytest.mark.parametrize("option", ["quantizer", "reference"])
def test_options_of_one_forward_are_refused(tmp_path: Path, option: str) -> None:
    example = project(tmp_path, TEST.replace("tokens=6", f"tokens=6, {option}=object()"), generative=MODEL)
    run = example.run_pytest(report=False, outcomes={"failed": 1})
    assert f"{option}= is for the forward of one model" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("stages", [[], ["int8:dynamic"]])
def test_a_static_cache_is_handed_on(tmp_path: Path, stages: list[str]) -> None:
    config = 'transformers.GenerationConfig(cache_implementation="static", max_cache_len=16)'
    test = TEST.replace("tokens=6", f"tokens=6, baseline=False, stages={stages}, generation_config={config}")
    project(tmp_path, f"import transformers\n{test}", generative=MODEL).run_pytest(outcomes={"passed": 1})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t5", "gpt2"])
def test_quantized_parts_generate_together(tmp_path: Path, name: str) -> None:
    """Weights are random: calibrated scales of activations (``int8:qdq``) leave the T5 not one token of four."""
    test = PARTS_TEST.format(name=name, faulty=None, expected=">= 3")
    test = test.replace("tokens=4", 'tokens=4, stages=["int8:dynamic"]')
    project(tmp_path, test, parts=PARTS).run_pytest(outcomes={"passed": 1})


PARTS = """
import torch, transformers
from fixtures import config_dir

def make(name, faulty):
    from pytest_htp.capture.models import resolve_model

    model = resolve_model(config_dir(name), seed=0).module
    if faulty:
        part = model.get_submodule(faulty)
        part.register_forward_hook(lambda _, __, out: -out if torch.compiler.is_exporting() else out)
    return model
"""
PARTS_TEST = """
from parts import make

def test_tokens(htp_export):
    exports = htp_export.for_generation(make({name!r}, {faulty!r}), tokens=4, parity=False, baseline=False)
    assert exports.tokens_equal {expected}, exports.tokens_equal
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "faulty", "expected"),
    [
        ("t5", None, "== 4"),
        ("t5", "encoder.final_layer_norm", "< 4"),
        ("whisper", None, "== 4"),
        ("llava", None, "== 4"),
        ("llava", "model.multi_modal_projector.linear_2", "< 4"),
    ],
)
def test_parts_of_a_model_generate_together(tmp_path: Path, name: str, faulty: str | None, expected: str) -> None:
    test = PARTS_TEST.format(name=name, faulty=faulty, expected=expected)
    project(tmp_path, test, parts=PARTS).run_pytest(outcomes={"passed": 1})


@pytest.mark.slow
def test_what_ships_generates(tmp_path: Path) -> None:
    test = TEST.replace("tokens=6", 'tokens=6, stages=["int8:dynamic"]').replace(
        "assert exports.tokens_equal == 6", "assert 0 <= exports.tokens_equal <= 6"
    )
    example = project(tmp_path, test, generative=MODEL)
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert example.run_pytest(outcomes={"passed": 1}).codes == set()


def test_a_decoder_begins_with_more_than_one_token() -> None:
    from fixtures import config_dir
    from pytest_htp.capture.generation import generate_arguments
    from pytest_htp.capture.models import resolve_model

    model = resolve_model(config_dir("t5"), seed=0).module
    assert "decoder_input_ids" not in generate_arguments(model, None, 0)
    start = generate_arguments(model, None, 0, several_tokens=True)["decoder_input_ids"]
    assert start.shape == (2, 3)
    assert start[:, 0].tolist() == [model.generation_config.decoder_start_token_id] * 2
