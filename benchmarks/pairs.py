"""Pairs of files as people have them: what ``htp compare`` says of equal models, and of one planted difference.

    python -m benchmarks.pairs [--folder DIR] [--models encoder convnet bert] [--timm OLD NEW]

Each model is exported by TorchScript (opset 17 and 20) and dynamo (18 and 20, also without optimization), and passed
through tools: ONNX Runtime's basic and extended optimizations and its fusions for transformers, onnxslim (where
installed), dynamic quantization, and one that leaves no names. Of an equal pair nothing may be said but information,
improvements (a newer opset's ``Gelu``), and what is so: that the opset is another one, or that a tool's own operators
came.
A float model and a quantized one are never equal: of that pair only the planted difference counts, by what is said
beyond what is said without it. ``--timm`` names folders with two releases, made by ``pip install --no-deps --target``
(what they need beside torch must be importable): the same model of both, with the same weights.
Of a planted pair (the same files, the new one's model with another activation in one module) a finding must name that
module, one inside of it or the one that calls it; without any names, the operator. Prints JSON: both shares, and each
failed pair.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from benchmarks._measure import ROOT, report
from benchmarks.timm_models import RELEASED
from fixtures import config_dir
from pytest_htp.compare.policy import Policy
from pytest_htp.files.compare import compare_files
from pytest_htp.files.load import load_onnx
from pytest_htp.format.paths import expand_pattern

sys.path.insert(0, str(ROOT / "tests" / "files"))

from htp_pairs import ConvNet, Encoder, LastHidden, without_modules


@dataclass(frozen=True)
class Case:
    """A model, its input, and the module whose activation is planted; ``operator`` is the new one's."""

    make: Callable[[bool], nn.Module]
    example: torch.Tensor
    module: str
    operator: str = "Tanh"


def _encoder(changed: bool) -> nn.Module:
    torch.manual_seed(0)
    model = Encoder()
    if changed:
        model.blocks[1].mlp[1] = nn.Tanh()  # type: ignore[operator]
    return model


def _convnet(changed: bool) -> nn.Module:
    torch.manual_seed(0)
    model = ConvNet()
    if changed:
        model.stem[2] = nn.Tanh()
    return model


def _bert(changed: bool) -> nn.Module:
    from transformers import AutoConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(AutoConfig.from_pretrained(config_dir("bert"), attn_implementation="eager"))
    if changed:
        model.encoder.layer[1].intermediate.intermediate_act_fn = nn.Tanh()
    return LastHidden(model)


CASES = {
    "encoder": Case(_encoder, torch.ones(1, 6, dtype=torch.int64), "blocks.1.mlp.1"),
    "convnet": Case(_convnet, torch.ones(1, 3, 8, 8), "stem.2"),
    "bert": Case(_bert, torch.ones(1, 8, dtype=torch.int64), "bert.encoder.layer.1.intermediate.intermediate_act_fn"),
}
PAIRS = (
    ("script17", "script17"),
    ("script17", "script20"),
    ("script17", "dynamo18"),
    ("script20", "dynamo20"),
    ("dynamo20", "script17"),
    ("dynamo18", "dynamo20"),
    ("unoptimized", "dynamo20"),
    ("script17", "script17_basic"),
    ("dynamo20", "dynamo20_basic"),
    ("script17", "script17_extended"),
    ("dynamo20", "dynamo20_extended"),
    ("script17", "script17_fused"),
    ("dynamo20", "dynamo20_fused"),
    ("script17", "script17_slim"),
    ("dynamo20", "dynamo20_slim"),
    ("dynamo20_int8", "dynamo20_int8"),
    ("dynamo20", "dynamo20_int8"),
    ("script17", "script17_int8"),
    ("dynamo20", "dynamo20_bare"),
    ("dynamo20_bare", "dynamo20_bare"),
    ("script17_bare", "script17_bare"),
)


# What is stated of equal pairs: another opset, and a tool's own operators.
STATED = {"opset.changed", "domain.added"}
# Pairs that are never equal.
OTHER = {("dynamo20", "dynamo20_int8"), ("script17", "script17_int8")}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def export(case: Case, folder: Path, *, changed: bool) -> dict[str, Path]:
    """All files of one model, by the names that PAIRS uses."""
    model, files = case.make(changed).eval(), {}
    folder.mkdir(parents=True)
    for name, opset, more in (
        ("script17", 17, {"dynamo": False}),
        ("script20", 20, {"dynamo": False}),
        ("dynamo18", 18, {"dynamo": True}),
        ("dynamo20", 20, {"dynamo": True}),
        ("unoptimized", 20, {"dynamo": True, "optimize": False}),
    ):
        files[name] = folder / f"{name}.onnx"
        names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "external_data": False}
        torch.onnx.export(model, (case.example,), files[name], opset_version=opset, **names, **more)
    for name in ("script17", "dynamo20"):
        for tool in (_basic, _extended, _fused, _slim, _int8, without_modules):
            made = tool(files[name])
            if made is not None:
                files[f"{name}_{tool.__name__.strip('_').replace('without_modules', 'bare')}"] = made
    return files


def _basic(path: Path) -> Path:
    return _by_onnx_runtime(path, "BASIC")


def _extended(path: Path) -> Path:
    return _by_onnx_runtime(path, "EXTENDED")


def _by_onnx_runtime(path: Path, level: str) -> Path:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(path.with_name(f"{level.lower()}_{path.name}"))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Path(options.optimized_model_filepath)


def _fused(path: Path) -> Path:
    from onnxruntime.transformers.optimizer import optimize_model

    made = path.with_name(f"fused_{path.name}")
    optimize_model(str(path), model_type="bert", opt_level=0).save_model_to_file(str(made))
    return made


def _slim(path: Path) -> Path | None:
    if importlib.util.find_spec("onnxslim") is None:
        return None
    import onnxslim

    made = path.with_name(f"slim_{path.name}")
    onnx.save(onnxslim.slim(str(path)), made)
    return made


def _int8(path: Path) -> Path:
    from onnxruntime.quantization import quantize_dynamic

    made = path.with_name(f"int8_{path.name}")
    model = onnx.load(path)
    del model.graph.value_info[:]  # shapes of weights that the quantizer transposes, which it would be held to
    quantize_dynamic(model, made)
    return made


def compared(old: Path, new: Path) -> list[Any]:
    found = compare_files(load_onnx(str(old)), load_onnx(str(new)), Policy())
    return [f for f in found.comparison.findings if f.verdict not in ("info", "improvement")]


def releases(folder: Path, installed: Sequence[Path]) -> Iterator[tuple[str, str, dict[str, Path]]]:
    """Each model of two releases of timm: its name, the planted module, and its files."""
    for place, release, planted in (("old", 0, ""), ("new", 1, ""), ("planted", 1, "planted")):
        paths = os.pathsep.join((str(installed[release]), str(ROOT), os.environ.get("PYTHONPATH", "")))
        command = [sys.executable, "-m", "benchmarks.timm_models", str(folder / place), *planted.split()]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, cwd=ROOT)
    for name in RELEASED:
        module = (folder / "planted" / f"{name}.planted").read_text("utf-8")
        for kind in ("script17", "dynamo20"):
            yield f"{name} {kind}", module, {p: folder / p / f"{name}.{kind}.onnx" for p in ("old", "new", "planted")}


def names_it(findings: list[Any], case: Case) -> bool:
    """Whether a finding is about the planted module, one inside of it or its caller, or tells the operator."""
    outer = case.module.rpartition(".")[0]
    for finding in findings:
        paths = expand_pattern(finding.module) if finding.module is not None else []
        if any(path in (case.module, outer) or path.startswith(f"{case.module}.") for path in paths):
            return True
        if paths == [""] and case.operator in finding.message:
            return True
    return False


@dataclass
class Counts:
    """How many pairs were judged rightly, by kind, and what was said of the others."""

    right: Counter[str] = field(default_factory=Counter)
    all: Counter[str] = field(default_factory=Counter)
    failed: list[dict[str, Any]] = field(default_factory=list)

    def judge(self, name: str, files: tuple[Path, Path, Path], case: Case, *, other: bool = False) -> None:
        """Compare a file with one that is equal (unless ``other``) and with that one's planted twin."""
        said = compared(files[0], files[1])
        told = {str(finding) for finding in said}
        if not other:
            self._count("equal", name, said, all(f.code in STATED for f in said))
        found = [finding for finding in compared(files[0], files[2]) if not other or str(finding) not in told]
        self._count("planted", name, found, names_it(found, case))

    def _count(self, kind: str, name: str, findings: list[Any], fine: bool) -> None:
        self.all[kind] += 1
        self.right[kind] += fine
        if not fine:
            told = [f"{f.code} {f.module}: {f.message}"[:160] for f in findings]
            self.failed.append({"pair": name, "kind": kind, "findings": told[:6]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--models", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--timm", nargs=2, type=Path, metavar=("OLD", "NEW"))
    arguments = parser.parse_args()
    counts = Counts()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        for name in arguments.models:
            case, folder = CASES[name], Path(made) / name
            with _quiet():
                plain = export(case, folder / "plain", changed=False)
                changed = export(case, folder / "changed", changed=True)
            for old, new in PAIRS:
                if old in plain and new in plain:
                    files = plain[old], plain[new], changed[new]
                    counts.judge(f"{name} {old} -> {new}", files, case, other=(old, new) in OTHER)
        if arguments.timm:
            for name, module, by_place in releases(Path(made) / "timm", arguments.timm):
                case = replace(CASES["convnet"], module=module)
                counts.judge(f"timm {name}", (by_place["old"], by_place["new"], by_place["planted"]), case)
    shares = {kind: f"{counts.right[kind]} of {counts.all[kind]}" for kind in counts.all}
    report({"benchmark": "pairs", **shares, "failed": counts.failed})


if __name__ == "__main__":
    main()
