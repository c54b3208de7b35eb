"""Inputs are checked against forward, made where they can be, and never changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp import HTPUsageError
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.models import resolve_model


class Takes(nn.Module):
    def forward(self, x: Tensor, mask: Tensor, mode: str = "fast", *, scale: float = 1.0) -> Tensor:
        return x * mask * scale


X, MASK = torch.randn(2, 3), torch.ones(2, 3)


def test_given_inputs_are_passed_on_as_they_are() -> None:
    by_name = make_inputs(Takes(), {"x": X, "mask": MASK, "mode": "slow"})
    assert by_name.kwargs["x"] is X
    assert by_name.kwargs["mode"] == "slow"
    assert by_name.args == ()
    by_position = make_inputs(Takes(), (X, MASK))
    assert by_position.args[1] is MASK
    for prepared in (by_name, by_position):
        assert list(prepared.named) == ["x", "mask"]
        assert not prepared.generated
    assert make_inputs(nn.ReLU(), X).args[0] is X
    assert make_inputs(nn.ReLU(), [X]).args[0] is X
    assert torch.equal(make_inputs(nn.ReLU(), np.ones((2, 3))).args[0], torch.ones(2, 3, dtype=torch.float64))


def test_copies_can_be_written_to() -> None:
    nested = {"x": {"a": [X.clone(), 3]}}
    prepared = make_inputs(Anything(), nested)
    _, kwargs = prepared.copies()
    kwargs["x"]["a"][0].zero_()
    kwargs["x"]["a"].append(1)
    assert torch.equal(nested["x"]["a"][0], X)
    assert len(nested["x"]["a"]) == 2
    assert list(prepared.named) == ["x.a[0]"]


def test_text_inside_of_an_input_that_describes_nothing_stays_text() -> None:
    way = {"how": "up", "what": "float32[2, 3]"}
    prepared = make_inputs(Anything(), {"x": way})
    assert prepared.kwargs["x"]["how"] == "up"
    assert prepared.kwargs["x"]["what"].shape == (2, 3)
    assert way["what"] == "float32[2, 3]"
    kept = {"how": "up"}
    assert make_inputs(Anything(), {"x": kept}).kwargs["x"] is kept


class Anything(nn.Module):
    def forward(self, **kwargs: object) -> object:
        return kwargs


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": X, "msk": MASK}, "Takes.forward has no input 'msk'; it takes x, mask, mode, scale"),
        ({"x": X}, "Takes.forward needs 'mask', for example inputs="),
        ((), "needs 'x', 'mask'"),
        ((X, MASK, "a", 2.0), "got 4 inputs by position; it takes x, mask, mode, scale"),
        ({1: X}, "names of inputs must be strings, got 1"),
        (3, "inputs must be a mapping, a tuple, a tensor or None, got int; for example inputs="),
        (
            None,
            r"Takes is no transformers model.*takes x, mask, mode, scale\); pass them, for example inputs=",
        ),
        ({"x": "flaot32[2]", "mask": MASK}, "position 1: unknown element type 'flaot32'"),
        ({"x": "nonsense", "mask": MASK}, "unknown element type 'nonsense'"),
        (
            {"x": "float32[n=2, 3]", "mask": "float32[n=4, 3]"},
            "axis 'n' has size 2 in 'x' and 4 in 'mask'; one name is one size",
        ),
    ],
)
def test_what_does_not_fit_is_named(inputs: object, message: str) -> None:
    with pytest.raises(HTPUsageError, match=message):
        make_inputs(Takes(), inputs)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_example_in_the_message_runs_where_the_first_layer_tells(name: str) -> None:
    model = MODELS[name].make()
    with pytest.raises(HTPUsageError) as caught:
        make_inputs(model, None)
    source = str(caught.value).split("for example inputs=")[1]
    example = eval(source, {"torch": torch})
    assert set(example) == set(MODELS[name].inputs())
    if name in ("mlp", "tied", "nest", "odd_names", "shared"):
        model(**example)


def test_a_model_without_arguments_needs_none() -> None:
    class Constant(nn.Module):
        def forward(self) -> Tensor:
            return X

    assert make_inputs(Constant(), None).kwargs == {}


def test_strings_describe_tensors_and_name_axes() -> None:
    specs = {"x": "float32[batch=2, 3]", "mask": "bool[batch=2, width=3]", "mode": "slow"}
    prepared = make_inputs(Takes(), specs)
    assert prepared.kwargs["x"].shape == (2, 3)
    assert prepared.kwargs["x"].unique().numel() == 6
    assert prepared.kwargs["mask"].all()
    assert prepared.kwargs["mode"] == "slow"
    assert prepared.dynamic_axes == {"x": {0: "batch"}, "mask": {0: "batch", 1: "width"}}
    again = make_inputs(Takes(), specs)
    assert torch.equal(again.kwargs["x"], prepared.kwargs["x"])
    assert make_inputs(nn.ReLU(), "float32[n=4]").dynamic_axes == {"input": {0: "n"}}


def test_described_tokens_stay_within_the_vocabulary() -> None:
    tied = MODELS["tied"].make()
    tokens = make_inputs(tied, {"tokens": "int32[batch=4, seq=64]"}).kwargs["tokens"]
    assert tokens.dtype == torch.int32
    assert tokens.max() < 20
    bert = resolve_model(config_dir("bert")).module
    prepared = make_inputs(bert, {"input_ids": "int64[2, 32]", "token_type_ids": "int64[2, 32]"})
    assert bert(**prepared.kwargs).last_hidden_state.shape == (2, 32, 64)


def test_compiled_modules_show_their_own_signature() -> None:
    compiled = torch.compile(Takes(), backend="eager")
    with pytest.raises(HTPUsageError, match="no input 'y'; it takes x, mask, mode, scale"):
        make_inputs(compiled, {"y": X})


@pytest.mark.parametrize("name", config_names())
def test_inputs_are_made_for_every_family(name: str) -> None:
    model = resolve_model(config_dir(name)).module
    states = torch.get_rng_state()
    prepared = make_inputs(model, None)
    assert prepared.generated
    assert model.main_input_name in prepared.kwargs
    with torch.no_grad():
        outputs = model(**prepared.kwargs)
    assert all(value.isfinite().all() for value in outputs.values() if isinstance(value, Tensor))
    again = make_inputs(model, None)
    assert all(torch.equal(prepared.kwargs[key], again.kwargs[key]) for key in prepared.kwargs)
    main = prepared.kwargs[str(model.main_input_name)]
    assert main.unique().numel() > 8
    other = make_inputs(model, None, seed=1).kwargs[str(model.main_input_name)]
    assert not torch.equal(main, other)
    assert torch.equal(states, torch.get_rng_state())


def test_inputs_follow_the_dtype_of_the_model() -> None:
    config = transformers.ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=16,
        dtype="bfloat16",
    )
    model = resolve_model(config, weights="none").module
    assert make_inputs(model, None).kwargs["pixel_values"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("config", "cls"),
    [
        (
            transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=50),
            "GPT2ForSequenceClassification",
        ),
        (
            transformers.BartConfig(
                vocab_size=50,
                d_model=8,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=8,
                decoder_ffn_dim=8,
                max_position_embeddings=32,
            ),
            "BartForSequenceClassification",
        ),
        (
            transformers.ASTConfig(
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=8,
                max_length=64,
                num_mel_bins=32,
            ),
            "ASTModel",
        ),
        (
            transformers.VideoMAEConfig(
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=8,
                image_size=32,
                num_frames=4,
            ),
            "VideoMAEModel",
        ),
        (
            transformers.Speech2TextConfig(
                vocab_size=50,
                d_model=8,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=8,
                decoder_ffn_dim=8,
                conv_channels=8,
            ),
            "Speech2TextModel",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_for_families_without_a_fixture(config: object, cls: str) -> None:
    config.architectures = [cls]
    model = resolve_model(config).module
    assert type(model).__name__ == cls
    with torch.no_grad():
        model(**make_inputs(model, None).kwargs)


def test_a_family_that_is_not_covered_says_so() -> None:
    config = transformers.PatchTSTConfig(d_model=8, num_hidden_layers=1, num_attention_heads=2, ffn_dim=8)
    with pytest.raises(HTPUsageError, match=r"PatchTSTModel can't be made.*'past_values' is not covered.*inputs="):
        make_inputs(resolve_model(config).module, None)


def test_tokenizer_lists_are_explained() -> None:
    bert = resolve_model(config_dir("bert")).module
    with pytest.raises(HTPUsageError, match=r"'input_ids' is a list.*return_tensors='pt'"):
        make_inputs(bert, {"input_ids": [[1, 2]]})
    batch = transformers.BatchEncoding({"input_ids": torch.ones(1, 4, dtype=torch.int64)})
    assert list(make_inputs(bert, batch).named) == ["input_ids"]
    with pytest.raises(HTPUsageError, match=r"BertModel\.forward has no input 'pixels'"):
        make_inputs(bert, {"pixels": X})
