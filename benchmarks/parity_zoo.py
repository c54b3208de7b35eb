"""The models of the parity benchmarks: the repository's fixtures, and small configs of other families.

Each is exported once and run in PyTorch once (:func:`prepare`); the benchmarks then change tags or the graph.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import transformers
from torch import nn

from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp.capture.distinct import make_parameters_distinct
from pytest_htp.capture.engines import EngineRequest, select_engine
from pytest_htp.capture.hierarchy import watch_forward
from pytest_htp.capture.inputs.prepare import PreparedInputs, make_inputs
from pytest_htp.capture.marks import clear_marks
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.parameters import shared_parameters
from pytest_htp.capture.provenance import ProvenanceObserver
from pytest_htp.exporter.save import save_model
from pytest_htp.parity.result import ParityRequest
from pytest_htp.tagging.stacks import traced_calls
from pytest_htp.tagging.tagger import tag_graph

_TEXT = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_NARROW = {**_TEXT, "intermediate_size": 128, "max_position_embeddings": 64}
_BART = {
    "vocab_size": 128, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 64,
    "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
}  # fmt: skip

# Families the fixtures don't have: class name, config class, config values.
FURTHER: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    "albert": ("AlbertModel", "AlbertConfig", {**_NARROW, "embedding_size": 32}),
    "bart": ("BartModel", "BartConfig", _BART),
    "convnext": (
        "ConvNextModel",
        "ConvNextConfig",
        {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2, "image_size": 32},
    ),
    "deit": (
        "DeiTModel",
        "DeiTConfig",
        {**_TEXT, "intermediate_size": 128, "image_size": 32, "patch_size": 8},
    ),
    "electra": ("ElectraModel", "ElectraConfig", {**_NARROW, "embedding_size": 32}),
    "gemma": (
        "GemmaModel",
        "GemmaConfig",
        {**_NARROW, "num_key_value_heads": 2, "head_dim": 16},
    ),
    "gpt_neox": ("GPTNeoXModel", "GPTNeoXConfig", _NARROW),
    "mistral": ("MistralModel", "MistralConfig", {**_NARROW, "num_key_value_heads": 2}),
    "mpnet": ("MPNetModel", "MPNetConfig", _NARROW),
    "opt": (
        "OPTModel",
        "OPTConfig",
        {**_NARROW, "ffn_dim": 128, "word_embed_proj_dim": 64},
    ),
    "qwen2": ("Qwen2Model", "Qwen2Config", {**_NARROW, "num_key_value_heads": 2}),
    "roberta": ("RobertaModel", "RobertaConfig", _NARROW),
    "segformer": (
        "SegformerModel",
        "SegformerConfig",
        {
            "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [16, 32],
            "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2],
        },
    ),
    "swin": (
        "SwinModel",
        "SwinConfig",
        {
            "image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4],
            "window_size": 4,
        },
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """One exported model. ``export_seconds`` covers the exporter and saving, not PyTorch's watched pass."""

    name: str
    request: ParityRequest
    export_seconds: float
    forward_seconds: float


def names(*, plain: bool = True) -> list[str]:
    return [*config_names(), *FURTHER, *(MODELS if plain else ())]


def make(name: str) -> tuple[nn.Module, Any]:
    """The model, with weights that all differ, and inputs (None: made from the config)."""
    if name in MODELS:
        return MODELS[name].make(), MODELS[name].inputs()
    if name in FURTHER:
        model_class, config_class, values = FURTHER[name]
        config = getattr(transformers, config_class)(**values)
        config.architectures = [model_class]
        model = resolve_model(config).module
    elif name in config_names():
        model = resolve_model(config_dir(name)).module
    else:
        from benchmarks import architectures

        return architectures.make(name)  # any of the zoo, timm's among them
    make_parameters_distinct(model)
    return model.eval(), None


def prepare(
    name: str,
    folder: Path,
    *,
    dynamic: bool = False,
    change: Callable[[nn.Module], None] | None = None,
) -> Prepared:
    """Export one model and watch it run."""
    model, inputs = make(name)
    if change is not None:
        change(model)
    prepared = padded(make_inputs(model, inputs))
    args, kwargs = prepared.copies()
    started = time.perf_counter()
    hierarchy = watch_forward(model, args, kwargs, keep_tensors=True)
    forward_seconds = time.perf_counter() - started
    started = time.perf_counter()
    observer = ProvenanceObserver()
    args, kwargs = prepared.copies()
    with contextlib.redirect_stdout(io.StringIO()):
        program = select_engine("auto", model).export(
            EngineRequest(model=model, args=args, kwargs=kwargs, dynamic=dynamic), observer
        )
    hierarchy.follow(traced_calls(observer.provenance.program, hierarchy.modules))
    shared = shared_parameters(model)
    tagging = tag_graph(program, hierarchy.modules, observer.provenance, shared_parameters=shared)
    clear_marks(program)
    path = folder / f"{name}{'-dynamic' if dynamic else ''}.onnx"
    save_model(program, path, structure_only=False, parameters=set(shared))
    export_seconds = time.perf_counter() - started
    request = ParityRequest(
        onnx_path=path, program=program, inputs=prepared.named, hierarchy=hierarchy, tagging=tagging
    )
    return Prepared(name, request, export_seconds, forward_seconds)


def padded(prepared: PreparedInputs) -> PreparedInputs:
    """The same inputs with some padding in the last row of the attention mask: a mask of ones alone masks
    nothing.

    In place, since every view of the inputs shares the tensors.
    """
    mask = prepared.named.get("attention_mask")
    if prepared.generated and mask is not None and mask.dim() == 2 and mask.shape[1] > 4:
        mask[-1, -3:] = 0
    return prepared


def prepared_models(chosen: list[str], *, dynamic: bool = False) -> Iterator[Prepared]:
    """One after the other; the files of each are gone when the next one is asked for."""
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            yield prepare(name, Path(folder), dynamic=dynamic)


def with_graph(prepared: Prepared, path: Path) -> ParityRequest:
    """The same request over another file of the same graph."""
    return replace(prepared.request, onnx_path=path)
