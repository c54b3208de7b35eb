"""Models of transformers, made from a config or read from a folder, offline and without foreign code."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from pytest_htp.capture.distinct import make_parameters_distinct
from pytest_htp.capture.state import replaced, seeded
from pytest_htp.capture.weightless import build_weightless
from pytest_htp.errors import HTPUsageError
from pytest_htp.vocabulary import Weights

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
_FLOATING = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}  # safetensors


def build_from_config(
    config: PreTrainedConfig, weights: Weights, seed: int, dtype: torch.dtype | None = None
) -> nn.Module:
    """A model of a transformers config, in eval mode, with fresh weights (all different) or none.

    ``dtype`` replaces the config's own. The given config is not changed.

    Raises:
        HTPUsageError: transformers has no model for this config.
    """
    config = copy.deepcopy(config)  # building writes the dtype into it
    if dtype is not None:
        config.dtype = dtype
    with _offline(), seeded(seed):
        model_class = _model_class(config)
        module: nn.Module
        if weights == "none":
            module = build_weightless(lambda: model_class._from_config(config))
        else:
            module = model_class._from_config(config)
        make_parameters_distinct(module, seed)
    return module.eval()


def _model_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The class named in ``config.architectures``, else the bare model of the config's type.

    Only classes of the installed transformers, or registered with it, are taken; code in a folder is never run.
    """
    import transformers

    for name in config.architectures or ():
        found: type[PreTrainedModel] | None = None
        if isinstance(name, str) and name.isidentifier():
            found = getattr(transformers, name, None)
        is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
        if found is not None and is_model and isinstance(config, found.config_class or ()):
            return found
    mapping: Mapping[type[PreTrainedConfig], type[PreTrainedModel]] = transformers.AutoModel._model_mapping
    if type(config) not in mapping:
        raise HTPUsageError(
            f"transformers {transformers.__version__} knows no model for a {type(config).__name__}"
            + (" (its own code is never run here)" if getattr(config, "auto_map", None) else "")
            + "; pass the model object instead"
        )
    bare = mapping[type(config)]
    return bare[0] if isinstance(bare, tuple | list) else bare


def build_from_directory(directory: Path, weights: Weights, seed: int) -> nn.Module:
    """The model saved in a folder with a ``config.json``.

    Weights are read from safetensors only; a folder without weights gives fresh ones.

    Raises:
        HTPUsageError: the config is unreadable or unknown, or the weights are pickled.
    """
    config = _load_config(directory / "config.json")
    stored = sorted(directory.glob("*.safetensors")) + sorted(directory.glob("*.safetensors.index.json"))
    if not stored:
        pickled = sorted(file.name for file in directory.iterdir() if file.suffix in _PICKLED)
        if pickled and weights == "real":
            raise HTPUsageError(
                f"{str(directory)!r} has weights only as {pickled[0]!r}; only safetensors are loaded: save the model "
                "again with save_pretrained, load it yourself and pass it, or use weights='none'"
            )
        return build_from_config(config, weights, seed)
    if weights == "none":
        return build_from_config(config, weights, seed, dtype=None if config.dtype else _stored_dtype(stored))
    with _offline(), seeded(seed):
        module: nn.Module = _model_class(config).from_pretrained(
            str(directory),
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    return module


def _load_config(file: Path) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise HTPUsageError(f"{str(file)!r} can't be read as JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("model_type"), str):
        raise HTPUsageError(f'{str(file)!r} is no transformers config: it has no "model_type" that names a family')
    try:
        with _offline():
            return AutoConfig.from_pretrained(str(file.parent), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        own_code = " (its own code is never run here: pass the model object)" if "auto_map" in fields else ""
        raise HTPUsageError(f"{str(file)!r} is not accepted by transformers{own_code}: {reason}") from error


def _stored_dtype(stored: list[Path]) -> torch.dtype | None:
    """The first floating dtype in the files: what ``from_pretrained`` takes if the config has none."""
    from safetensors import safe_open

    for file in stored:
        if file.suffix == ".safetensors":
            with safe_open(str(file), framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a dict
                    if found := _FLOATING.get(tensors.get_slice(name).get_dtype()):
                        return found
    return None


@contextmanager
def _offline() -> Iterator[None]:
    """No download and no progress bar, whatever a config asks for (backbones, kernels, its own code)."""
    import transformers.utils.logging as hf_logging
    from huggingface_hub import constants

    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        with replaced(constants, "HF_HUB_OFFLINE", True):
            yield
    finally:
        if bars:
            hf_logging.enable_progress_bar()
