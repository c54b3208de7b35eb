"""Generative models come apart as transformers splits them, and nothing that ``generate`` runs is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from fixtures import config_dir
from pytest_htp import HTPExport, HTPExporter, HTPUsageError
from pytest_htp.capture.generation import generation_components, options_of_part
from pytest_htp.capture.models import resolve_model

Export = Callable[..., HTPExport]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Exports one component for real, without ever touching the one it was given."""

    def run(component: tuple[nn.Module, dict[str, Any]], **options: Any) -> HTPExport:
        module, inputs = component
        return HTPExporter(**options).export(module, inputs, tmp_path / "model.onnx")

    return run


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def test_decoder_only(export: Export) -> None:
    components = generation_components(config_dir("gpt2"))
    assert list(components) == ["prefill", "decode"]

    prefill = export(components["prefill"])
    cache = [f"past_key_values.layers.{{0..1}}.{part}" for part in ("keys", "values")]  # rows of two layers
    assert names(prefill.record["inputs"]) == ["input_ids", "position_ids"]
    assert names(prefill.record["outputs"]) == ["logits", *cache]
    assert prefill.parity.measured
    assert prefill.record["parity"]["failed"] == []

    _, inputs = components["decode"]
    decode = export(components["decode"])
    shapes = {row["name"]: row["dims"] for row in decode.record["inputs"]}
    assert shapes["input_ids"] == [2, 1]
    assert [shapes[f"input.{name}"] for name in cache] == [[2, 4, 16, 16]] * 2
    assert decode.record["parity"]["failed"] == []
    # Every call lets a cache grow; the one that was given still holds the 16 tokens of the prompt.
    assert inputs["past_key_values"].get_seq_length() == 16


def test_encoder_decoder_has_its_encoder(export: Export) -> None:
    components = generation_components(config_dir("t5"))
    assert list(components) == ["encoder", "prefill", "decode"]
    assert type(components["encoder"][0]).__name__ == "T5Stack"

    encoder = export(components["encoder"])
    assert names(encoder.record["inputs"]) == ["input_ids", "attention_mask"]
    assert encoder.record["parity"]["failed"] == []

    decode = export(components["decode"])
    inputs = names(decode.record["inputs"])
    assert inputs[:3] == ["attention_mask", "decoder_input_ids", "encoder_outputs.last_hidden_state"]
    assert sum("cross_attention_cache" in name for name in inputs) == 2
    assert decode.parity.measured  # all eight cache tensors were found and fed
    assert decode.record["parity"]["failed"] == []


def test_vision_language_has_its_tower_and_projector(export: Export) -> None:
    components = generation_components(config_dir("llava"))
    assert {name: type(module).__name__ for name, (module, _) in components.items()} == {
        "image_encoder": "CLIPVisionModel",
        "multi_modal_projector": "LlavaMultiModalProjector",
        "language_model": "LlamaModel",
        "lm_head": "Linear",
        "decode": "LlavaForConditionalGeneration",
    }
    tower = export(components["image_encoder"])
    assert tower.record["inputs"] == [{"name": "pixel_values", "dtype": "FLOAT", "dims": [2, 3, 32, 32]}]

    projector = export(components["multi_modal_projector"])  # no PreTrainedModel
    assert projector.record["model"]["exporter"] == "torch"
    assert names(projector.record["inputs"]) == ["image_features"]
    assert projector.coverage.coverage == 100
    assert projector.record["parity"]["failed"] == []


@pytest.mark.slow
def test_several_tokens_keep_the_axis_dynamic(export: Export) -> None:
    config = transformers.AutoConfig.from_pretrained(config_dir("llama"), num_hidden_layers=1)
    one = generation_components(config)["decode"]
    several = generation_components(config, multi_token_decode=True)["decode"]
    assert one[1]["input_ids"].shape == (2, 1)
    assert several[1]["input_ids"].shape == (2, 2)
    exported = export(several, dynamic=True, parity=False)
    dims = {row["name"]: row["dims"] for row in exported.record["inputs"]}
    assert dims["input_ids"] == ["d0", "d1"]
    # Constants stay numbers beside dynamic axes.
    assert dims["input.past_key_values.layers.0.keys"] == ["d0", 2, "d2", 16]


def test_parts_and_inputs_are_the_same_every_time_and_the_model_is_as_before() -> None:
    model = resolve_model(config_dir("gpt2")).module.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    first, second = (generation_components(model, seed=3) for _ in range(2))
    assert torch.equal(random_state, torch.get_rng_state())
    assert model.training
    assert not model._forward_pre_hooks
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    for component in first:
        for name, value in first[component][1].items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, second[component][1][name])


def test_given_inputs_and_generation_config() -> None:
    static = transformers.GenerationConfig(cache_implementation="static", max_cache_len=24)
    components = generation_components(config_dir("llama"), {"input_ids": "int64[3, 5]"}, generation_config=static)
    _, inputs = components["decode"]
    assert inputs["input_ids"].shape == (3, 1)
    assert type(inputs["past_key_values"]).__name__ == "StaticCache"


def test_a_model_without_weights_is_taken_apart_without_weights() -> None:
    module, _ = generation_components(config_dir("llama"), weights="none")["decode"]
    matrices = [parameter for parameter in module.parameters() if parameter.dim() > 1]
    assert len(matrices) == 16
    assert all(matrix.untyped_storage().nbytes() == matrix.element_size() for matrix in matrices)


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (lambda: config_dir("vit"), None, "ViTForImageClassification can't generate: for_generation needs"),
        (lambda: nn.Linear(2, 2), None, "Linear can't generate: for_generation needs a transformers model"),
        (
            lambda: transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16),
            None,
            r"GPT2Model can't generate; its config names no class with a head \(\"architectures\"\)",
        ),
        (
            lambda: config_dir("gpt2"),
            {"input_ids": "int64[batch=2, seq=16]"},
            r"input 'input_ids' names the axis 'batch', .* sizes only \(int64\[2, 16\]\) and .*dynamic=True",
        ),
        (
            lambda: config_dir("gpt2"),
            (torch.zeros(2, 4, dtype=torch.int64),),
            "takes the arguments of model.generate by name, got tuple",
        ),
        (
            lambda: config_dir("gpt2"),
            {"input_ids": torch.full((1, 4), 4000)},
            r"GPT2LMHeadModel.generate failed on the inputs input_ids \(IndexError: index out of range",
        ),
    ],
    ids=["no head", "plain module", "no architectures", "named axes", "positional", "failing call"],
)
def test_what_cannot_be_taken_apart(model: Callable[[], Any], inputs: Any, message: str) -> None:
    with pytest.raises(HTPUsageError, match=message):
        generation_components(model(), inputs)


def test_plain_parts_get_torchs_exporter() -> None:
    asked = {"exporter": "transformers", "ort_fusions": "cpu", "dynamic": True}
    assert options_of_part(nn.Linear(1, 1), asked) == {"exporter": "auto", "ort_fusions": None}
    assert options_of_part(nn.Linear(1, 1), {"dynamic": True}) == {}
    assert options_of_part(resolve_model(config_dir("gpt2")).module, asked) == {}
