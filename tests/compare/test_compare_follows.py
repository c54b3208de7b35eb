"""What a stage says that the export, or a stage before it, has not said."""

from __future__ import annotations

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import Record, Row, add_ops, bert, changed, edited
from tests.compare.test_compare_stages import staged

SELF, FAR = "encoder.layer.1.attention.self", "encoder.layer.3.dense"
Ops = dict[str, dict[str, int]]


def with_ops(ops: Ops, base: Record | None = None) -> Record:
    """``bert()`` with operators by module, signed."""

    def change(rows: dict[str, Row]) -> None:
        for path, counts in ops.items():
            add_ops(rows[path], counts)

    return changed(change, base)


def found(after: Ops, *stages: Ops) -> list[tuple[str, str | None, str | None]]:
    """Between ``bert()`` with as many equal stages and one whose export and stages have other operators."""
    records = []
    for export, each in (({}, [{} for _ in stages]), (after, [*stages])):
        record = with_ops(export)
        record["stages"] = [
            staged(bert(), f"s{number}", of=with_ops(ops))["stages"][0] for number, ops in enumerate(each)
        ]
        records.append(record)
    return [(finding.code, finding.module, finding.stage) for finding in compare_exports(*records).findings]


SINE = {"Tanh": -1, "Sin": 1}
UNFUSED = {"Attention": -1, "MatMul": 2, "Softmax": 1}


@pytest.mark.parametrize(
    ("export", "stages", "expected"),
    [
        # the same in both, in one of them, in the other
        ({"pooler": SINE}, [{"pooler": SINE}], [("ops.changed", "pooler", None)]),
        ({"pooler": SINE}, [{}], [("ops.changed", "pooler", None)]),
        ({}, [{"pooler": SINE}], [("ops.changed", "pooler", "s0")]),
        # other operators of a module that changed already
        ({"pooler": SINE}, [{"pooler": {"Tanh": -1, "Cos": 1}}], [("ops.changed", "pooler", None)]),
        # conversions around it, and elsewhere
        ({"pooler": SINE}, [{"pooler": SINE, "head": {"Transpose": 1}}], [("ops.changed", "pooler", None)]),
        ({"pooler": SINE}, [{"pooler": SINE, FAR: {"Transpose": 1}}],
         [("ops.changed", FAR, "s0"), ("ops.changed", "pooler", None)]),
        ({"pooler": SINE}, [{"pooler": SINE, "head": {"Exp": 1}}],
         [("ops.changed", "head", "s0"), ("ops.changed", "pooler", None)]),
        # a fusion that is lost in the export, in a stage, in two
        ({SELF: UNFUSED}, [{SELF: UNFUSED}], [("fusion.lost", SELF, None)]),
        ({}, [{SELF: UNFUSED}], [("fusion.lost", SELF, "s0")]),
        ({}, [{SELF: UNFUSED}, {SELF: UNFUSED}], [("fusion.lost", SELF, "s0")]),
        ({}, [{}, {SELF: UNFUSED}], [("fusion.lost", SELF, "s1")]),
        ({}, [{SELF: UNFUSED}, {"pooler": SINE}], [("fusion.lost", SELF, "s0"), ("ops.changed", "pooler", "s1")]),
        # a module that changed in the export loses its fusion in the stage only
        ({SELF: {"Reshape": -1, "Squeeze": 1}}, [{SELF: {**UNFUSED, "Reshape": -1, "Squeeze": 1}}],
         [("fusion.lost", SELF, "s0"), ("ops.changed", SELF, None)]),
        # another precision
        ({"pooler": {"Cast": 1}}, [{"pooler": {"Cast": 1}}], [("dtype.internal", "pooler", None)]),
        ({}, [{"pooler": {"Cast": 1}}, {"pooler": {"Cast": 1}}], [("dtype.internal", "pooler", "s0")]),
    ],
)  # fmt: skip
def test_what_is_said_once_is_not_said_of_a_later_stage(
    export: Ops, stages: list[Ops], expected: list[tuple[str, str | None, str | None]]
) -> None:
    assert sorted(found(export, *stages), key=str) == sorted(expected, key=str)


def test_what_concerns_no_module_is_said_once() -> None:
    def of(opset: int, stage: int) -> Record:
        record = edited(lambda values: values["opset"].update({"": opset}))
        graph = edited(lambda values: values["opset"].update({"": stage}))
        return {**record, "stages": staged(bert(), "s0", of=graph)["stages"]}

    def said(before: Record, after: Record) -> list[tuple[str, str | None]]:
        return [(finding.code, finding.stage) for finding in compare_exports(before, after).findings]

    assert said(of(23, 23), of(24, 24)) == [("opset.changed", None)]
    assert said(of(23, 23), of(23, 24)) == [("opset.changed", "s0")]
    assert said(of(23, 23), of(23, 23)) == []


def test_stages_that_are_no_longer_made() -> None:
    two = {**bert(), "stages": [staged(bert(), name)["stages"][0] for name in ("a", "b")]}
    one = {**bert(), "stages": two["stages"][:1]}
    (finding,) = compare_exports(two, one).findings
    assert (finding.code, finding.message, finding.before) == ("record.changed", "stages no longer made: b", ["b"])
    assert not compare_exports(one, two).findings
    assert [finding.code for finding in compare_exports(two, bert()).findings] == ["record.changed"]
