"""Real exports, each made once per session: ``exported("bert", dynamic=True)``."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import pytest
import torch
from torch import nn

from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp.capture.compiled import uncompiled
from pytest_htp.capture.distinct import make_parameters_distinct
from pytest_htp.capture.engines import EngineRequest, select_engine
from pytest_htp.capture.hierarchy import Hierarchy, watch_forward
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.parameters import shared_parameters, zero_biases
from pytest_htp.capture.provenance import Provenance, ProvenanceObserver
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.stacks import traced_calls
from pytest_htp.tagging.tagger import Tagging, tag_graph
from tests.tagging import htp_odd_modules


@dataclass
class Exported:
    """One tagged export with all that was seen of it. Tests must not change it."""

    model: nn.Module
    hierarchy: Hierarchy
    program: ir.Model
    provenance: Provenance
    tagging: Tagging

    def of(self, op_type: str) -> list[NodeFacts]:
        return [facts for facts in self.tagging.nodes if facts.node.op_type == op_type]

    def paths(self, op_type: str) -> list[str | None]:
        return [facts.path for facts in self.of(op_type)]

    def retagged(self, provenance: Provenance | None) -> Tagging:
        """The same graph tagged again with other provenance at hand."""
        shared = shared_parameters(self.model)
        return tag_graph(self.program, self.hierarchy.modules, provenance, shared_parameters=shared)


def _make(name: str, seed: int) -> tuple[nn.Module, Any]:
    if name in MODELS:
        return MODELS[name].make(), MODELS[name].inputs()
    if name in config_names():
        model, inputs = resolve_model(config_dir(name)).module, None
    else:
        torch.manual_seed(seed)
        model, inputs = htp_odd_modules.MODELS[name]()
    make_parameters_distinct(model)
    return model.eval(), inputs


def export(name: str, *, seed: int = 0, **options: Any) -> Exported:
    """``seed``: of the weights of the modules in ``htp_odd_modules``."""
    model, inputs = _make(name, seed)
    prepared = make_inputs(model, inputs)
    args, kwargs = prepared.copies()
    observer = ProvenanceObserver()
    # Exporters print, warn and log about themselves; here only the graph counts.
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), uncompiled(model):
            warnings.simplefilter("ignore")
            hierarchy = watch_forward(model, args, kwargs, keep_tensors=False)
            args, kwargs = prepared.copies()
            request = EngineRequest(model=model, args=args, kwargs=kwargs, **options)
            program = select_engine("auto", model).export(request, observer)
    finally:
        logging.disable(previous)
    hierarchy.follow(traced_calls(observer.provenance.program, hierarchy.modules))
    shared = shared_parameters(model)
    tagging = tag_graph(
        program, hierarchy.modules, observer.provenance, shared_parameters=shared, zero_biases=zero_biases(model)
    )
    return Exported(model, hierarchy, program, observer.provenance, tagging)


_made: dict[tuple[Any, ...], Exported] = {}  # shared by the folders whose tests look at real exports


@pytest.fixture(scope="session")
def exported() -> Callable[..., Exported]:
    def get(name: str, **options: Any) -> Exported:
        key = (name, *sorted(options.items()))
        if key not in _made:
            _made[key] = export(name, **options)
        return _made[key]

    return get
