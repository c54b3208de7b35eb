"""In which order modules run, by the calls in a record's programs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import pytest

from pytest_htp.format.execution import execution_order
from pytest_htp.format.record import ModuleRow


def _rows(programs: Mapping[str, Sequence[str]]) -> list[ModuleRow]:
    return [
        ModuleRow(
            path=path, class_name="M", calls=1, nodes=0, ops={}, dtypes={}, evidence={}, weights={}, fingerprint=None,
            program=[f"call {name}()" for name in calls],
        )
        for path, calls in programs.items()
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("programs", "order"),
    [
        ({"": ["b", "a"], "b": [], "a": []}, ["b", "a", ""]),
        ({"": ["a"], "a": ["x", "y"], "a.x": [], "a.y": []}, ["a.x", "a.y", "a", ""]),
        ({"": ["l.{0..2}"], "l.{0..2}": ["n"], "l.{0..2}.n": []}, ["l.0.n", "l.0", "l.1.n", "l.1", "l.2.n", "l.2", ""]),
        ({"": ["a", "b", "a"], "a": ["x"], "a.x": [], "b": []}, ["b", "a.x", "a", ""]),  # where it is called last
    ],
)
def test_a_module_comes_after_what_it_calls(programs: Mapping[str, Sequence[str]], order: list[str]) -> None:
    place = execution_order(_rows(programs))
    for _ in range(5):
        assert sorted(random.sample(order, len(order)), key=place) == order


def test_a_module_that_nobody_calls_is_done_before_the_one_around_it() -> None:
    place = execution_order(_rows({"": ["a", "b"], "a": ["x"], "a.x": [], "b": []}))
    assert sorted(["", "b", "a", "a.folded.inner", "a.x", "nowhere"], key=place) == [
        "a.x", "a.folded.inner", "a", "b", "nowhere", "",
    ]  # fmt: skip
    assert place("a.folded") < place("a.other")


def _chain(depth: int) -> Iterator[tuple[str, list[str]]]:
    """Each module calls all that are inside of it."""
    names = [".".join("m" * (end + 1)) for end in range(depth)]
    for level in range(depth + 1):
        yield ".".join("m" * level), names[: depth - level]


@pytest.mark.parametrize("programs", [{"": [""]}, {"": ["a"], "a": ["", "b"], "a.b": []}, dict(_chain(60))])
def test_a_file_that_was_edited_does_not_keep_it_forever(programs: Mapping[str, Sequence[str]]) -> None:
    place = execution_order(_rows(programs))
    assert max(programs, key=place) == ""
