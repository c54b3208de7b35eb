"""Exports of the bundled models that differ in nothing that may matter; also a script for another process.

python -m tests.silence._exports NAME...      # prints {name: text of the record}
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp import HTPExporter
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.models import resolve_model
from pytest_htp.format.serialize import dumps

ALL = (*sorted(MODELS), *config_names())


def record(name: str, *, seed: int = 0, larger: bool = False, **options: Any) -> dict[str, Any]:
    """The record of a bundled model.

    Args:
        seed: of its weights and, for those made from a config, of its inputs.
        larger: with one more example in the batch where that is dynamic, and for token models longer sequences.
    """
    model: Any = config_dir(name) if name not in MODELS else reseeded(MODELS[name].make(), seed)
    inputs: Mapping[str, torch.Tensor] | None = MODELS[name].inputs() if name in MODELS else None
    if larger:
        if inputs is None:
            inputs = make_inputs(resolve_model(model).module, None, seed=seed).named
        inputs = {
            key: _enlarged(value, batch=name != _OF_ITS_IMAGES, text=name in _TEXT) for key, value in inputs.items()
        }
    with tempfile.TemporaryDirectory() as folder:
        return HTPExporter(seed=seed, **options).export(model, inputs, Path(folder) / "model.onnx").record


_TEXT = frozenset({"bert", "distilbert", "gpt2", "llama", "llava", "mixtral"})
# transformers loops over the images, so that their number, and with it the batch, is a constant of the graph.
_OF_ITS_IMAGES = "llava"


def reseeded(model: nn.Module, seed: int) -> nn.Module:
    """Other weights of the same size; seed 0 leaves the model's own."""
    if seed:
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = parameter.data * (1 + 0.3 * noise)
    return model


def _enlarged(value: torch.Tensor, *, batch: bool, text: bool) -> torch.Tensor:
    if batch:
        value = torch.cat([value, value[:1]])
    # The last tokens: the first ones may stand for an image.
    return torch.cat([value, value[:, -3:]], dim=1) if text and value.ndim == 2 else value


def texts(names: Iterable[str], **options: Any) -> dict[str, str]:
    return {name: dumps(record(name, **options)) for name in names}


if __name__ == "__main__":
    print(json.dumps(texts(sys.argv[1:], parity=False)))
