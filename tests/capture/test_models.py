"""Anything a user may mean by "model" becomes a module, or one message that says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from fixtures import config_dir, config_names
from fixtures.plain import MLP, MODELS
from pytest_htp import HTPUsageError
from pytest_htp.capture.distinct import sample
from pytest_htp.capture.kinds import is_transformers_model
from pytest_htp.capture.models import resolve_model

TINY: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


def bert_config() -> transformers.BertConfig:
    return transformers.BertConfig(vocab_size=20, max_position_embeddings=16, **TINY)


def save(model: nn.Module, folder: Path) -> Path:
    """A saved model, without the progress bar of save_pretrained."""
    folder.mkdir(exist_ok=True)
    model.config.to_json_file(folder / "config.json")
    save_file({k: v.clone() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_module_is_returned_as_it_is() -> None:
    model = MODELS["mlp"].make().train()
    resolved = resolve_model(model)
    assert resolved.module is model
    assert model.training
    assert (resolved.name, is_transformers_model(model)) == ("MLP", False)


@pytest.mark.parametrize("name", config_names())
def test_every_config_builds_with_distinct_weights(name: str) -> None:
    folder = config_dir(name)
    resolved = resolve_model(folder)
    architectures = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    assert [type(resolved.module).__name__] == architectures
    assert (resolved.name, is_transformers_model(resolved.module)) == (name, True)
    assert not resolved.module.training
    parameters = list(resolved.module.parameters())
    assert len({(p.shape, sample(p)) for p in parameters}) == len(parameters)


def test_configs_are_seeded_and_leave_no_trace() -> None:
    config = bert_config()
    before = config.to_dict(), torch.get_rng_state().tolist()
    first, same, other = (resolve_model(config, seed=seed) for seed in (0, 0, 1))
    assert before == (config.to_dict(), torch.get_rng_state().tolist())
    assert first.name == "BertModel"
    assert _weights(first.module) == _weights(same.module) != _weights(other.module)


def _weights(model: nn.Module) -> list[bytes]:
    return [sample(parameter) for parameter in model.parameters()]


def test_the_architecture_of_the_config_is_built() -> None:
    config = bert_config()
    config.architectures = ["NoSuchClass", "BertForMaskedLM"]
    assert resolve_model(config).name == "BertForMaskedLM"
    config.architectures = ["GPT2Model"]  # not a model for this config
    assert resolve_model(config).name == "BertModel"


def test_factories_may_return_anything(tmp_path: Path) -> None:
    model = transformers.BertModel(bert_config())
    saved = save(model, tmp_path / "saved")
    for made in (MODELS["mlp"].make(), bert_config(), saved, str(saved)):
        resolved = resolve_model(lambda made=made: made)
        assert isinstance(resolved.module, nn.Module)

    def new() -> nn.Module:
        return MLP()

    assert _weights(resolve_model(new).module) == _weights(resolve_model(new).module)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_saved_weights_are_loaded(tmp_path: Path, dtype: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    model = resolve_model(bert_config(), seed=7).module
    if dtype:
        model.to(getattr(torch, dtype))
    folder = save(model, tmp_path / "my-model")
    config = json.loads((folder / "config.json").read_text())
    config.pop("dtype", None)
    config.pop("torch_dtype", None)
    (folder / "config.json").write_text(json.dumps(config))
    resolved = resolve_model(str(folder))
    assert resolved.name == "my-model"
    assert _weights(resolved.module) == _weights(model)
    none = resolve_model(folder, weights="none").module
    assert {p.dtype for p in none.parameters()} == {p.dtype for p in resolved.module.parameters()}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "not a model: None; pass an nn.Module instance, a transformers model or config, a program of torch"),
        ({"a": 1}, "not a model: dict {'a': 1};"),
        (nn.Linear, r"got the class Linear, not an instance: make one \(Linear\(…\)\)"),
        ("bert-base-uncased", r"'bert-base-uncased' is no saved model: no such folder \(names on the Hub"),
        (Path(__file__), "a file, not a folder"),
        (Path(__file__).parent, "no config.json in it"),
        (lambda size: size, r"<lambda>\(\) needs arguments \(size\)"),
        (lambda: None, r"what the factory <lambda>\(\) returned can't be exported: not a model: None"),
        (lambda: MLP, r"the factory <lambda>\(\) returned no model but type"),
        (nn.LazyLinear(3), "LazyLinear is not initialised: 'weight' has no shape yet; call the model once"),
        (
            nn.Linear(2, 2, device="meta"),
            r"Linear is on the meta device \('weight' has no values\): use weights='none'",
        ),
    ],
)
def test_what_is_no_model_is_explained(model: object, message: str) -> None:
    with pytest.raises(HTPUsageError, match=message):
        resolve_model(model)


def test_a_class_without_arguments_is_a_factory() -> None:
    resolved = resolve_model(MLP)
    assert isinstance(resolved.module, MLP)


def test_weights_is_checked() -> None:
    with pytest.raises(HTPUsageError, match="weights must be 'real' or 'none', got 'fake'"):
        resolve_model(nn.ReLU(), weights="fake")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "can't be read as JSON"),
        ("[" * 100_000, "can't be read as JSON"),
        ("[]", 'no "model_type"'),
        ('{"model_type": 3}', 'no "model_type"'),
        ('{"model_type": "no-such"}', "is not accepted by transformers"),
        (
            '{"model_type": "no-such", "auto_map": {"AutoConfig": "evil.Config"}}',
            "its own code is never run here: pass the model object",
        ),
    ],
)
def test_bad_configs_are_explained(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "evil.py").write_text("raise SystemExit('code of the folder was run')")
    with pytest.raises(HTPUsageError, match=message):
        resolve_model(tmp_path)


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    bert_config().to_json_file(tmp_path / "config.json")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(HTPUsageError, match=r"only as 'pytorch_model\.bin'; only safetensors are loaded"):
        resolve_model(tmp_path)
    assert is_transformers_model(resolve_model(tmp_path, weights="none").module)


def test_exceptions_of_a_factory_pass_through() -> None:
    def broken() -> nn.Module:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        resolve_model(broken)
