"""Stages' files made of real exports, each once per session: ``staged("mlp", "int8")``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from benchmarks.parity_zoo import prepare
from pytest_htp.carry import carry
from pytest_htp.parity.feeds import match_inputs
from pytest_htp.parity.measure import measure_parity
from pytest_htp.parity.result import ParityRequest
from pytest_htp.quality import QualityRequest

Staged = Callable[[str, str], QualityRequest]


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """One sample."""

    def __init__(self, feeds: dict[str, np.ndarray]) -> None:
        self._feeds = iter([feeds])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    made: dict[tuple[str, str], QualityRequest] = {}

    def get(name: str, stage: str) -> QualityRequest:
        if (name, stage) not in made:
            made[name, stage] = _made(name, stage, tmp_path_factory.mktemp("quality"))
        return made[name, stage]

    return get


def _made(name: str, stage: str, folder: Path) -> QualityRequest:
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export = prepare(name, folder).request
            source, path = export.onnx_path, folder / "stage.onnx"
            if stage == "int8":
                feeds = {key: value.numpy() for key, value in match_inputs(export.program, export.inputs).items()}
                quantize_static(source, path, Reader(feeds), quant_format=QuantFormat.QDQ)
            else:
                model = ir.from_proto(convert_float_to_float16(onnx.load(source), keep_io_types=True))
                model.graph.sort()
                ir.save(model, path)
    finally:
        logging.disable(logging.NOTSET)
    return of_stage(export, path, measure_parity(export).values, "int8" if stage == "int8" else "float16")


def of_stage(
    export: ParityRequest, path: Path, values: dict[int, tuple[str, ...]], precision: str | None
) -> QualityRequest:
    """The request for a file that a stage made of an export."""
    program = ir.load(path)
    return QualityRequest(
        onnx_path=path,
        program=program,
        inputs=export.inputs,
        hierarchy=export.hierarchy,
        tagging=carry(export.tagging, program),
        precision=precision,
        values=values,
    )
