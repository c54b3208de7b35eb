"""Which modules a search names that asks whether their parts compile alone, and when it stops asking."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx
import pytest
from htp_tagged import Step, chain, written

from pytest_htp.targets.localise import failing_modules

STEPS: list[Step] = [
    ("a", "Relu", {}),
    ("layers.0.act", "Tanh", {}),
    ("layers.0.out", "Erf", {}),
    ("layers.1.act", "Tanh", {}),
    ("layers.1.out", "Erf", {}),
    ("last", "Abs", {}),
]


def search(
    folder: Path, steps: list[Step], refused: Collection[str], seconds: float = 60
) -> tuple[tuple[str, ...], int]:
    """Modules named, and parts asked for, where no part with one of these operators compiles."""
    asked = []

    def compiles(path: Path, left: float) -> bool:
        assert 0 < left <= seconds
        asked.append([node.op_type for node in onnx.load(path).graph.node])
        return not set(refused) & set(asked[-1])

    _, tagging = written(chain(steps), folder)
    return failing_modules(tagging, compiles, seconds), len(asked)


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        ({"Erf"}, ("layers.0.out", "layers.1.out")),
        ({"Abs", "Tanh"}, ("layers.0.act", "layers.1.act", "last")),
        ({"Sin"}, ()),
    ],
)
def test_the_smallest_modules_that_fail_alone_are_named(
    tmp_path: Path, refused: set[str], named: tuple[str, ...]
) -> None:
    assert search(tmp_path, STEPS, refused)[0] == named


def test_equal_parts_are_asked_for_once(tmp_path: Path) -> None:
    """The list of layers, one layer, its two modules, the first and the last one: the second layer is the first."""
    assert search(tmp_path, STEPS, {"Erf"})[1] == 6


def test_at_most_forty_parts_are_compiled(tmp_path: Path) -> None:
    steps: list[Step] = [(f"m{number}", "LeakyRelu", {"alpha": number / 100}) for number in range(41)]
    named, asked = search(tmp_path, steps, {"LeakyRelu"})
    assert named == tuple(f"m{number}" for number in range(40))
    assert asked == 40


def test_without_time_left_nothing_is_asked(tmp_path: Path) -> None:
    assert search(tmp_path, STEPS, {"Erf"}, seconds=0) == ((), 0)
