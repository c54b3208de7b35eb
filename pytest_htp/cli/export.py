"""``htp export MODEL -o DIR``: the eight steps outside of pytest. Bad arguments are refused without torch."""

from __future__ import annotations

import argparse
import sys
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.manifest.keys import EXPORTERS, OPSET, WEIGHTS, check_input
from pytest_htp.manifest.models import find_model
from pytest_htp.stages.stage import BUILT_IN, resolve_stages
from pytest_htp.text import inert, percent

if TYPE_CHECKING:
    import numpy as np

    from pytest_htp.exporter.result import HTPExport

FAILED = 1
BAD_INPUT = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "export",
        help="export a model to ONNX, with tags and reports",
        description="Export a model; files are written into DIR. Exit 0 exported, 1 a step failed or outputs "
        "differ from PyTorch's beyond tolerance, 2 bad input.",
    )
    parser.add_argument("model", metavar="MODEL", help="folder of a saved model, or module:factory")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument(
        "--inputs", action="append", default=[], metavar="NAME=SPEC",
        help="an input, like 'input_ids=int64[batch=2, seq=16]'; repeatable (default: made from the config)",
    )  # fmt: skip
    parser.add_argument("--weights", choices=WEIGHTS, default="real", help="none: the structure alone")
    parser.add_argument("--opset", type=_opset, metavar="N", help="default: the exporter's choice")
    parser.add_argument("--dynamic", action="store_true", help="make every axis dynamic that can be")
    parser.add_argument("--exporter", choices=EXPORTERS, default="auto")
    parser.add_argument("--no-optimize", action="store_true", help="leave the graph as it was translated")
    parser.add_argument(
        "--target", action="append", default=[], metavar="NAME[:KEY=VALUE,...]",
        help="compile for a device that need not be there: cpu, qnn or openvino, like 'qnn:htp_arch=75'; repeatable",
    )  # fmt: skip
    parser.add_argument("--no-parity", action="store_true", help="don't compare with ONNX Runtime")
    parser.add_argument(
        "--stage", action="append", default=[], metavar="NAME", dest="stages",
        help=f"what to do with the exported file: {', '.join(BUILT_IN)}; repeatable, applied in order",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", action="extend", nargs="+", type=Path, metavar="FILE",
        help="what int8:qdq is calibrated on: .npz files, each with an array for every input (default: the inputs); "
        "repeatable",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of made weights and inputs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    reference = find_model(arguments.model, Path.cwd())
    inputs = _inputs(arguments.inputs)
    targets = _targets(arguments.target)
    directory: Path = arguments.output
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HTPUsageError(f"{directory} can't be made: {error.strerror or error}") from error
    stages = resolve_stages(arguments.stages)
    calibration = arguments.calibration and [_arrays(path) for path in arguments.calibration]
    model = reference.load()
    from pytest_htp.exporter.exporter import HTPExporter  # torch and transformers: seconds

    exporter = HTPExporter(
        weights=arguments.weights,
        opset_version=arguments.opset,
        dynamic=arguments.dynamic,
        exporter=arguments.exporter,
        optimize=not arguments.no_optimize,
        parity=not arguments.no_parity,
        seed=arguments.seed,
        targets=targets,
        stages=stages,
        calibration=calibration,
    )
    try:
        export = exporter.export(model, inputs, directory / "model.onnx")
    except HTPExportError as error:
        for line in str(error).splitlines():
            print(f"htp export: {inert(line)}", file=sys.stderr)
        return BAD_INPUT if isinstance(error.cause, HTPUsageError) else FAILED
    return _print(export)


def _print(export: HTPExport) -> int:
    for title, path in (
        ("model", export.onnx_path),
        ("metadata", export.metadata_path),
        ("report", export.report_path),
        ("console", export.console_path),
    ):
        print(f"{title:9} {inert(str(path))}")
    coverage = export.coverage
    print(
        f"coverage  {percent(coverage.coverage)} of {coverage.total_nodes:,} nodes, "
        f"direct {percent(coverage.direct_coverage)}"
    )
    for target in export.targets.values():
        print(f"target    {inert(target.line())}")
    for stage in export.stages.values():
        print(f"stage     {inert(str(stage.onnx_path))}  {inert(stage.summary)}")
    if export.stage_failure is not None:
        print(f"stage     {inert(str(export.stage_failure))}")
        return FAILED
    parity = export.record["parity"]
    failed = parity["failed"] if parity["measured"] else []
    if not parity["measured"]:
        print(f"parity    not measured: {inert(parity['reason'])}")
    else:
        print(f"parity    {'beyond tolerance: ' + inert(', '.join(failed)) if failed else 'within tolerance'}")
    return FAILED if failed or not all(target.compiled for target in export.targets.values()) else 0


def _inputs(given: list[str]) -> dict[str, str] | None:
    inputs: dict[str, str] = {}
    for text in given:
        name, equals, spec = text.partition("=")
        if not equals or not name.isidentifier():
            raise HTPUsageError(f"--inputs {text!a}: write NAME=SPEC, like 'input_ids=int64[batch=2, seq=16]'")
        if name in inputs:
            raise HTPUsageError(f"--inputs: {name!a} is given twice")
        if (problem := check_input(name, spec)) is not None:
            raise HTPUsageError(f"--inputs: {problem}")
        inputs[name] = spec
    return inputs or None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    import numpy as np

    arrays = {}
    try:
        with path.open("rb") as file:
            loaded = np.load(file)  # refuses pickles
            if isinstance(loaded, np.lib.npyio.NpzFile):
                arrays = dict(loaded)
    except OSError as error:
        raise HTPUsageError(f"--calibration {path} can't be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):  # something else, or with objects in it
        pass
    if not arrays or any(array.dtype.kind not in "biuf" for array in arrays.values()):
        raise HTPUsageError(f"--calibration {path} must be an .npz file with an array of numbers for every input")
    return arrays


def _targets(given: list[str]) -> dict[str, dict[str, str]]:
    targets: dict[str, dict[str, str]] = {}
    for text in given:
        name, colon, rest = text.partition(":")
        if name in targets:
            raise HTPUsageError(f"--target: {name!a} is given twice")
        options = targets.setdefault(name, {})
        for pair in rest.split(",") if colon else ():
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise HTPUsageError(f"--target {text!a}: write NAME:KEY=VALUE,KEY=VALUE, like 'qnn:htp_arch=75'")
            options[key] = value
    return targets


def _opset(text: str) -> int:
    number = int(text) if text.isdecimal() and len(text) < 10 else 0
    if not OPSET.accepts(number):
        raise argparse.ArgumentTypeError(f"must be {OPSET.expected}, got {text!r}")
    return number
