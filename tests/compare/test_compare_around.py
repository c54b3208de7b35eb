"""What goes with a finding and is not said again, and what beside it is a finding of its own."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import Record, Row, add_ops, bert, changed, edited, linear, model_rows, record_of, row
from tests.compare.test_compare_stages import QUERY, quantized, staged

ATTENTION = "encoder.layer.1.attention"


def found(before: Record, after: Record, **options: Any) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.module) for finding in compare_exports(before, after, **options).findings]


def unfused(rows: dict[str, Row]) -> None:
    """The module around it computes what its Attention did."""
    add_ops(rows[f"{ATTENTION}.self"], {"Attention": -1})
    add_ops(rows[ATTENTION], {"MatMul": 2, "Softmax": 1})


def unfused_and_more(rows: dict[str, Row]) -> None:
    unfused(rows)
    add_ops(rows["pooler"], {"Sin": 1})


def unfused_and_exchanged(rows: dict[str, Row]) -> None:
    unfused(rows)
    add_ops(rows[f"{ATTENTION}.output"], {"Add": -1, "Sub": 1})


@pytest.mark.parametrize(
    ("change", "more"),
    [(unfused, []), (unfused_and_more, ["pooler"]), (unfused_and_exchanged, [f"{ATTENTION}.output"])],
)
def test_a_fusion_takes_operators_of_what_is_around_it_and_gives_them_back(change: Any, more: list[str]) -> None:
    before, after = bert(), changed(change)
    others = [("ops.changed", module) for module in more]
    assert sorted(found(before, after)) == sorted([("fusion.lost", f"{ATTENTION}.self"), *others])
    assert sorted(found(after, before)) == sorted([("fusion.gained", f"{ATTENTION}.self"), *others])


def test_beside_what_is_no_longer_quantized_another_change_is_said() -> None:
    def change(rows: dict[str, Row]) -> None:
        add_ops(rows["pooler"], {"Tanh": -1, "Sin": 1})

    before, after = staged(bert(), of=quantized()), staged(bert(), of=changed(change, quantized((QUERY,))))
    assert found(before, after) == [("quantization.lost", QUERY), ("ops.changed", "pooler")]


@pytest.mark.parametrize(("cast", "code"), [(True, "dtype.internal"), (False, "weights.dtype")])
def test_parameters_stored_converted_are_those_of_a_module_that_computes_so(cast: bool, code: str) -> None:
    def change(rows: dict[str, Row]) -> None:
        rows["head"].update(weights={"FLOAT16": 2048})
        if cast:
            rows["head"].update(dtypes={"FLOAT16": 2})
            add_ops(rows["head"], {"Cast": 1}, "FLOAT16")

    parameters = bert()["weights"]["parameters"]  # the model's own are what they were
    after = edited(lambda record: record["weights"].update(parameters=parameters), changed(change))
    assert found(bert(), after) == [(code, "head")]
    if cast:
        without = edited(lambda record: None, after)
        for row in without["modules"]:
            if row["path"] == "head":
                row["ops"] = {**row["ops"], "Cast": 2}
                row["nodes"] += 1
        assert found(without, after)[0][0] != "dtype.internal"


def untagged(ops: dict[str, int], program: list[str] | None = None) -> Record:
    record = record_of(model_rows(1), untagged=ops)
    return edited(lambda values: values["untagged"].update({} if program is None else {"program": program}), record)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"Shape": 2}, {"Shape": 1, "If": 1}, "If 0 -> 1 in no module"),
        ({"Shape": 2, "Loop": 1}, {"Shape": 1, "Loop": 2}, "Loop 1 -> 2 in no module"),
        ({"Shape": 2, "If": 2}, {"Shape": 3, "If": 1}, None),
    ],
)
def test_control_flow_in_no_module(before: dict[str, int], after: dict[str, int], message: str | None) -> None:
    findings = compare_exports(untagged(before), untagged(after)).findings
    told = [finding.message for finding in findings if finding.code == "controlflow.added"]
    assert told == ([] if message is None else [message])


def test_a_program_of_no_module() -> None:
    ops = {"Shape": 1, "Add": 1}
    before, after = (untagged(ops, [f"%1 = Shape(in0; start={n})", "%2 = Add(%1, in1)"]) for n in (0, 1))
    (finding,) = compare_exports(before, after).findings
    assert (finding.code, finding.module, finding.message) == (
        "ops.changed", None, "Shape: start 0 -> 1, in no module",
    )  # fmt: skip
    assert (finding.before, finding.after) == (["%1 = Shape(in0; start=0)"], ["%1 = Shape(in0; start=1)"])
    fixed = edited(lambda record: record["inputs"][0].update(dims=[2, "d1"]), after)
    assert found(before, fixed) == [("io.dim_fixed", None)]
    assert not found(before, untagged(ops))


def outputs(count: int, size: str, *, failed: bool = False) -> Record:
    names = [f"o{number}" for number in range(count)]

    def edit(record: Record) -> None:
        record["outputs"] = [{"name": name, "dtype": "FLOAT", "dims": [2]} for name in names]
        measured = [{"name": name, "max_abs": size, "max_rel": size} for name in names]
        record["parity"].update(outputs=measured, failed=names if failed else [])

    return edited(edit)


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (1, "1e-02", "output o0 differs by 1e-02"),
        (2, "1e-02", "outputs o0, o1 differ by 1e-02"),
        (4, "1e-02", "outputs o0, o1, o2, o3 differ by 1e-02"),
        (5, "1e-02", "outputs o0, o1, o2, o3 and 1 more differ by 1e-02"),
        (1, "inf", "output o0 has another shape, no value, or infinities"),
        (2, "inf", "outputs o0, o1 have another shape, no value, or infinities"),
    ],
)
def test_outputs_that_failed_are_listed_by_size(count: int, size: str, message: str) -> None:
    (finding,) = compare_exports(outputs(count, "1e-06"), outputs(count, size, failed=True)).findings
    assert (finding.code, finding.message) == ("parity.failed", message)
    assert finding.before == {f"o{number}": "1e-06" for number in range(count)}
    assert finding.after == {f"o{number}": size for number in range(count)}

    made = [outputs(count, "1e-06"), outputs(count, size, failed=True)]
    for record in made:
        record["outputs"][0]["module"] = "head"
    assert found(*made) == [("parity.failed", "head")]


def test_an_output_that_runs_in_another_shape_says_both() -> None:
    def edit(record: Record) -> None:
        record["parity"].update(failed=["o0", "o1"], failed_on=["padding"])
        record["parity"]["outputs"][0]["ran_as"] = [3, 2]

    (finding,) = compare_exports(outputs(2, "1e-06"), edited(edit, outputs(2, "1e-02"))).findings
    assert finding.message == (
        "output o1 differs by 1e-02; output o0 is declared as [2] and runs as [3, 2] (with padding)"
    )


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("graph", {"functions": 1}, "graph.functions"),
        ("graph", {"functions": 1, "subgraphs": 2}, "graph.functions, graph.subgraphs"),
        ("model", {"modules": 7}, "model.modules"),
        ("model", {"class": "Other"}, "model.class"),
    ],
)
def test_what_no_rule_says_is_named(section: str, values: dict[str, Any], named: str) -> None:
    before, after = bert(), edited(lambda record: record[section].update(values))
    for one, other in ((before, after), (after, before)):
        (finding,) = compare_exports(one, other).findings
        assert (finding.code, finding.message) == ("record.changed", f"differs without a finding: {named}")


@pytest.mark.parametrize(("count", "more"), [(8, ""), (9, " and 1 more")])
def test_eight_unsaid_differences_are_listed(count: int, more: str) -> None:
    def edit(record: Record) -> None:
        record["inputs"] = [{**record["inputs"][0], "every": 2}, record["inputs"][1]] if count > 8 else record["inputs"]
        record["model"].update(modules=7, executed=3, parameters=5)
        record["graph"].update(functions=1, subgraphs=2)
        record["weights"]["parameters"]["count"] = record["weights"]["initializers"]["count"] = 1
        record["weights"]["tied_apart"] = [["a", "b"]]

    (finding,) = compare_exports(bert(), edited(edit)).findings
    assert finding.code == "record.changed"
    assert finding.message.count(", ") == 7
    assert finding.message.endswith(more)


def test_what_edition_1_did_not_hold_is_no_difference() -> None:
    def edit(record: Record) -> None:
        record["outputs"] = [{**row, "value": "Add"} for row in record["outputs"]]
        record["untagged"]["program"] = ["%1 = Shape(in0)"]

    old, today = untagged({"Shape": 1}), edited(edit, untagged({"Shape": 1}))
    assert not found(old, today)
    assert not found(today, old)
    moved = edited(lambda record: record["outputs"][0].update(value="Mul", module="head"), today)
    assert found(today, moved) == [("ops.changed", "head")]


def test_an_output_of_another_layer_is_told_of_the_module_around_them_that_ran() -> None:
    def of(layer: int) -> Record:
        def edit(record: Record) -> None:
            record["outputs"][0].update(value="Add", module=f"encoder.layer.{layer}")

        return edited(edit)

    assert found(of(0), of(1)) == [("ops.changed", "encoder")]


def test_what_several_modules_lost_and_others_gained_is_moved() -> None:
    """Not one to one, but all of it in total."""

    def change(rows: dict[str, Row]) -> None:
        add_ops(rows["pooler"], {"Tanh": -1})
        add_ops(rows["embeddings"], {"Add": -1})
        add_ops(rows["encoder"], {"Tanh": 1, "Add": 1})

    findings = compare_exports(bert(), changed(change)).findings
    assert [(each.code, each.module, each.message) for each in findings] == [
        ("tags.moved", "embeddings", "Add 1 of embeddings is now tagged encoder"),
        ("tags.moved", "pooler", "Tanh 1 of pooler is now tagged encoder"),
    ]


def test_a_subtree_that_moved_takes_what_is_inside_of_it_along() -> None:
    """The module inside of it, which looks like another one that moved, is no candidate for that."""

    def tree(outer: str, alone: str) -> Record:
        rows = [row("", "Net"), row(outer, "Block", {"Exp": 1}), linear(f"{outer}.linear"), linear(alone)]
        return record_of(rows, fold=False)

    findings = compare_exports(tree("a", "w"), tree("c", "z")).findings
    assert [(each.code, each.message) for each in findings] == [
        ("module.added", "Block was a, is now c"),
        ("module.added", "Linear was w, is now z"),
    ]
