"""What a change leaves in other modules is no finding of its own: one fault, one finding."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import Record, add_ops, bert, changed, edited, linear, model_rows, record_of, row


def found(before: Record, after: Record) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.module) for finding in compare_exports(before, after).findings]


def plain(rows: list[dict[str, Any]]) -> Record:
    return edited(lambda r: r["weights"].update(tied=[]), record_of(rows))


# An input of another element type: its readers.


def reread(rows: dict[str, Any]) -> None:
    rows[""]["fingerprint"] = "reads INT32"
    rows["embeddings.word"]["fingerprint"] = "reads INT32"


def in_int32(record: Record) -> Record:
    return edited(lambda r: r["inputs"][0].update(dtype="INT32"), record)


def test_readers_of_an_input_of_another_type_follow_it() -> None:
    assert found(bert(), in_int32(changed(reread))) == [("io.dtype", None)]
    assert found(bert(), changed(reread)) == [("ops.changed", ""), ("ops.changed", "embeddings.word")]


def test_integers_made_of_an_input_of_another_type_follow_it() -> None:
    def change(rows: dict[str, Any]) -> None:
        reread(rows)
        rows[""]["dtypes"] = {"BOOL": 5, "INT32": 1}

    assert found(bert(), in_int32(changed(change))) == [("io.dtype", None)]


def test_other_operators_and_other_floats_do_not_follow_an_input() -> None:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["pooler"], {"Mul": 1, "Add": 1})
        rows["encoder.layer.3.act"]["dtypes"] = {"DOUBLE": 1}

    assert found(bert(), in_int32(changed(change))) == [
        ("io.dtype", None),
        ("dtype.internal", "encoder.layer.3.act"),
        ("ops.changed", "pooler"),
    ]


# A module replaced by one that computes nothing: what encloses it.


def sequential(middle: dict[str, Any], fingerprint: str) -> Record:
    rows = [row("", "Net"), row("net", "Sequential", fingerprint=fingerprint)]
    return plain([*rows, linear("net.0"), middle, linear("net.2")])


GELU, IDENTITY = row("net.1", "GELU", {"Gelu": 1}), row("net.1", "Identity", fingerprint="")


def test_a_module_that_no_longer_computes_rewires_no_parent() -> None:
    before, after = sequential(GELU, "through 1"), sequential(IDENTITY, "around 1")
    assert found(before, after) == [("module.class_changed", "net.1")]
    assert found(after, before) == [("module.class_changed", "net.1"), ("fusion.gained", "net.1")]


def test_a_root_of_another_class_hides_no_rewiring() -> None:
    def change(rows: dict[str, Any]) -> None:
        rows[""]["class"] = "BertModel2"
        add_ops(rows[""], {"Not": 1}, "BOOL")
        rows["pooler"]["fingerprint"] = "rewired"

    assert found(bert(), changed(change)) == [("module.class_changed", ""), ("ops.changed", "pooler")]


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ({"Tanh": 1}, ["head", "pooler"]),
        ({"Tanh": -1}, ["head", "pooler"]),
        ({"Gather": -1, "Tanh": -1}, ["pooler"]),  # what passes through it comes from elsewhere now
    ],
)
def test_a_neighbour_is_rewired_by_a_module_that_stops_and_by_no_other(
    ops: dict[str, int], expected: list[str]
) -> None:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["pooler"], ops)
        rows["head"]["fingerprint"] = "rewired"

    for before, after in ((bert(), changed(change)), (changed(change), bert())):
        assert sorted(found(before, after)) == [("ops.changed", path) for path in expected]


# A child gone or new: the operators that joined its result to others'.


def experts(count: int, joins: dict[str, int], **root: Any) -> Record:
    rows = [row("", "Moe", joins, **root)]
    return plain([*rows, *(linear(f"experts.{index}") for index in range(count))])


def test_the_sum_of_experts_shrinks_and_grows_with_them() -> None:
    four, three, two = (experts(count, {"Add": count - 1}) for count in (4, 3, 2))
    (removed,) = compare_exports(four, three).findings
    assert (removed.code, removed.module) == ("module.removed", "experts.3")
    assert removed.message == "removed module Linear (2 nodes; around it Add 3 -> 2; 3 -> 2 nodes)"
    assert found(four, two) == [("module.removed", "experts.{2..3}")]
    assert found(three, four) == [("weights.grown", "experts.3"), ("module.added", "experts.3")]


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ({"Add": 4}, {"Add": 2}, "ops.changed"),  # more than went
        ({"Add": 3, "Tanh": 1}, {"Add": 3}, "ops.changed"),  # no join
        ({"Add": 3}, {"Add": 4}, "ops.changed"),  # the other way
        ({"Add": 3, "Gelu": 1}, {"Add": 3}, "fusion.lost"),
    ],
)
def test_anything_else_around_a_removed_module_is_told(
    before: dict[str, int], after: dict[str, int], code: str
) -> None:
    assert set(found(experts(4, before), experts(3, after))) == {("module.removed", "experts.3"), (code, "")}


def test_control_flow_around_a_new_module_is_told() -> None:
    assert set(found(experts(3, {"Add": 2}), experts(4, {"Add": 2, "If": 1}))) == {
        ("module.added", "experts.3"),
        ("weights.grown", "experts.3"),
        ("controlflow.added", ""),
    }


def test_a_new_module_hides_no_explosion_around_it() -> None:
    assert set(found(experts(1, {"Add": 1}), experts(5, {"Add": 5}))) == {
        ("module.added", "experts.{1..4}"),
        ("weights.grown", "experts.{1..4}"),
        ("ops.exploded", ""),
    }


def test_layers_alone_leave_the_rest_as_it_was() -> None:
    assert found(record_of(model_rows(3)), record_of(model_rows(2))) == [("module.removed", "encoder.layer.2")]
