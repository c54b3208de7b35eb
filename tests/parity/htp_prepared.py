"""Real exports with PyTorch's tensors, each made once per session: ``prepared("bert")``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from benchmarks.faults import Fault, faults
from benchmarks.parity_zoo import prepare
from pytest_htp.parity.result import ParityRequest
from pytest_htp.tagging.facts import NodeFacts

Prepare = Callable[..., ParityRequest]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    made: dict[tuple[str, bool], ParityRequest] = {}

    def get(name: str, *, dynamic: bool = False) -> ParityRequest:
        if (name, dynamic) not in made:
            folder = tmp_path_factory.mktemp("parity")
            previous = logging.root.manager.disable
            logging.disable(logging.ERROR)  # exporters log and warn about themselves
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    made[name, dynamic] = prepare(name, folder, dynamic=dynamic).request
            finally:
                logging.disable(previous)
        return made[name, dynamic]

    return get


def facts_at(request: ParityRequest, position: int) -> NodeFacts:
    return request.tagging.graph.by_node[list(request.program.graph)[position]]


def every_fault(request: ParityRequest) -> list[Fault]:
    return list(faults(onnx.load(request.onnx_path).graph))


def with_fault(request: ParityRequest, fault: Fault, folder: Path) -> ParityRequest:
    proto = onnx.load(request.onnx_path)
    fault.inject(proto.graph)
    path = folder / "faulty.onnx"
    onnx.save(proto, path)
    return replace(request, onnx_path=path)


@contextmanager
def tagged(facts: NodeFacts, path: str) -> Iterator[None]:
    """A node with another tag, as if the exporter had recorded it."""
    before = facts.path, facts.origins, facts.call
    facts.path, facts.origins, facts.call = path, (path,), 0
    try:
        yield
    finally:
        facts.path, facts.origins, facts.call = before
