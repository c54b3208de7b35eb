"""Faults that only a stage shows are found, in the right module; what is none, is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from htp_stage_faults import Tool, faults

from pytest_htp import Stage, compare_exports
from pytest_htp.exporter.staging import StagesRequest, run_stages
from pytest_htp.format.serialize import dumps

NAMES = list(faults({"layer.1.up": "", "head": ""}))
Record = dict[str, Any]


@pytest.fixture(scope="module")
def recorded(request_: StagesRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Record]:
    """The record of the export with these stages: name → tool."""

    def make(tools: Mapping[str, Tool]) -> Record:
        path = tmp_path_factory.mktemp("fault") / "model.onnx"
        shutil.copy(request_.path, path)
        stages = [Stage(name, tool) for name, tool in tools.items()]
        result = run_stages(replace(request_, stages=stages, path=path))
        assert result.failure is None, result.failure
        return {**RECORD, "stages": [stage.record for stage in result.stages.values()]}

    return make


RECORD: Record = {}


@pytest.fixture(scope="module", autouse=True)
def _whole(exported: Any) -> None:
    RECORD.update({**exported.record, "stages": []})


def matmuls(request: StagesRequest) -> dict[str, str]:
    return {
        facts.path: facts.key
        for facts in request.tagging.nodes
        if facts.node.op_type == "MatMul" and facts.path is not None
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_is_found_in_its_module(name: str, request_: StagesRequest, recorded: Callable[..., Record]) -> None:
    fault = faults(matmuls(request_))[name]
    comparison = compare_exports(recorded(fault.before), recorded(fault.after))
    found = {(finding.code, finding.stage, finding.module) for finding in comparison.findings}
    assert fault.expected <= found, found
    assert all(finding.stage is not None for finding in comparison.findings)


@pytest.mark.parametrize("name", NAMES)
def test_a_repeated_run_writes_the_same_bytes(
    name: str, request_: StagesRequest, recorded: Callable[..., Record]
) -> None:
    tools = faults(matmuls(request_))[name].before
    first, second = recorded(tools), recorded(tools)
    assert dumps(first) == dumps(second)
    assert compare_exports(first, second).findings == ()
