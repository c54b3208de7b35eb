"""Planted in equal layers, what a compiler can't take is told by the right code, of the right modules; what is
compiled again says nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import onnx
import pytest
from htp_planted import PLANTED, SHAPE, Planted
from htp_tagged import chain, written
from htp_wheels import OPENVINO, QNN

from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.targets import compare_targets
from pytest_htp.format.read import record_of
from pytest_htp.format.record import Record
from pytest_htp.targets.builtin import BUILT_IN
from pytest_htp.targets.run import compile_for
from tests.compare._records import bert

pytest.importorskip("onnxruntime", reason="the targets' own runtime: pip install 'pytest-htp[parity]'")

WHEELS = {"qnn": (QNN,), "openvino": (OPENVINO,), "cpu": ()}


def compiled(planted: Planted, folder: Path, *, after: bool) -> Record:
    shape = planted.shape if after else SHAPE
    model = chain(planted.steps(planted=after), shape, planted.dtype, domains=planted.domains if after else ())
    return recorded(planted.target, model, folder)


def recorded(name: str, model: onnx.ModelProto, folder: Path) -> Record:
    folder.mkdir()
    target = compile_for(BUILT_IN[name], *written(model, folder), timeout=120)
    return msgspec.structs.replace(record_of(bert(1)), targets=[target.record])


def found(before: Record, after: Record) -> set[tuple[str, str | None]]:
    context = Context(before=before, after=after)
    compare_targets(context)
    return {(finding.code, finding.module) for finding in context.findings()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "planted", [pytest.param(each, id=f"{each.target}: {each.what}", marks=WHEELS[each.target]) for each in PLANTED]
)
def test_what_a_compiler_lacks_is_told_of_its_modules(planted: Planted, tmp_path: Path) -> None:
    before, after = (compiled(planted, tmp_path / str(side), after=side) for side in (False, True))
    told = found(before, after) - {("placement.split", None)}  # what falls back cuts the graph in pieces
    assert told == {(planted.code, planted.module)}


@QNN
@pytest.mark.slow
def test_a_fallback_that_goes_inwards_is_lost_gained_and_a_cut(tmp_path: Path) -> None:
    """As many nodes on the CPU as before: in another module, and between two pieces."""
    modules = ("layers.0.x", "layers.0.y", "layers.1.x", "head")
    last, middle = (
        recorded("qnn", chain([(path, "Shrink" if path == odd else "Relu", {}) for path in modules]), tmp_path / odd)
        for odd in ("head", "layers.0.y")
    )
    moved, gained, split = "placement.moved", "placement.gained", "placement.split"
    assert found(last, middle) == {(moved, "layers.0.y"), (gained, "head"), (split, None)}
    assert found(middle, last) == {(moved, "head"), (gained, "layers.0.y")}


def test_at_least_forty_are_planted() -> None:
    assert len(PLANTED) >= 40
    assert {planted.target for planted in PLANTED} == set(WHEELS)


@pytest.mark.slow
@pytest.mark.parametrize("target", [pytest.param(name, marks=marks) for name, marks in WHEELS.items()])
def test_twenty_compiles_write_the_same_row(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a process of its own, with one thread and with two."""
    planted = next(each for each in PLANTED if each.target == target)
    rows = []
    for number in range(20):
        monkeypatch.setenv("OMP_NUM_THREADS", str(1 + number % 2))
        rows.append(compiled(planted, tmp_path / str(number), after=False))
    assert all(row == rows[0] for row in rows)
    assert all(found(rows[0], row) == set() for row in rows)
