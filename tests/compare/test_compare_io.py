"""Which input or output is which, and the size of what they hold."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import Record, Row, add_ops, bert, changed, edited, model_rows, record_of, row


def said(before: Record, after: Record) -> list[tuple[str, str | None, str]]:
    findings = compare_exports(before, after).findings
    return [(finding.code, finding.module, finding.message) for finding in findings]


def named(names: str, types: dict[str, str] | None = None) -> Record:
    def edit(record: Record) -> None:
        known = types or {}
        record["inputs"] = [{"name": name, "dtype": known.get(name, "FLOAT"), "dims": [2]} for name in names]
        record["parity"] = {"measured": False}

    return edited(edit)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("abcd", "badc", [("io.reordered", "inputs a, b, c, d come in another order")]),
        ("abcd", "abdc", [("io.reordered", "inputs c, d come in another order")]),
        ("abcdefgh", "badcfehg", [("io.reordered", "inputs a, b, c, d, e, f come in another order")]),
        ("abc", "axyc", [("io.input_added", "new input y"), ("io.renamed", "input b is now called x")]),
        ("abcd", "xbyd", [("io.renamed", "input a is now called x; input c is now called y")]),
        ("abcd", "axybd", [("io.input_added", "new input x, y"), ("io.input_removed", "removed input c")]),
        ("abcd", "axyd", [("io.renamed", "input b is now called x; input c is now called y")]),
        ("abc", "bax", [("io.renamed", "input c is now called x"),
                        ("io.reordered", "inputs a, b come in another order")]),
        ("ab", "abc", [("io.input_added", "new input c")]),
        ("ab", "a", [("io.input_removed", "removed input b")]),
        ("aa", "aab", [("io.input_added", "new input b")]),  # a broken graph is no reason to crash
    ],
)  # fmt: skip
def test_names_are_matched_in_order_and_new_ones_by_place(
    before: str, after: str, found: list[tuple[str, str]]
) -> None:
    assert [(code, message) for code, _, message in said(named(before), named(after))] == found


def test_names_in_another_order_on_tensors_that_stayed_are_compared_by_place() -> None:
    first = named("ab", {"a": "INT64"})
    assert [code for code, _, _ in said(first, named("ba", {"b": "INT64"}))] == ["io.reordered"]
    assert [code for code, _, _ in said(first, named("ba", {"a": "INT64"}))] == ["io.reordered"]
    (_, (code, _, message)) = said(first, named("ba", {"a": "INT32"}))
    assert (code, message) == ("io.dtype", "input a: INT64 -> INT32")


def test_more_than_six_are_counted() -> None:
    for count, more in ((6, ""), (7, "; 1 more")):
        letters = "abcdefg"[:count]
        ((code, _, message),) = said(named(letters), named(letters, dict.fromkeys(letters, "INT32")))
        assert code == "io.dtype"
        assert message == "; ".join(f"input {name}: FLOAT -> INT32" for name in letters[:6]) + more


def test_unknown_axes_are_shown() -> None:
    def of(size: str, **more: Any) -> Record:
        def edit(record: Record) -> None:
            record["outputs"] = [{"name": "o", "dtype": "FLOAT", "dims": [None, "d0", 2]}]
            record["parity"].update(outputs=[{"name": "o", "max_abs": size, "max_rel": size, **more}])
            record["parity"]["failed"] = ["o"] if more else []

        return edited(edit)

    ((_, _, message),) = said(of("1e-06"), of("1e-02", ran_as=[3, 2]))
    assert message == "output o is declared as [?, d0, 2] and runs as [3, 2]"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ((None, None), ("pooler", "1e-02"),
         "an error of 1e-02 (relative) enters here; the outputs stay within tolerance"),
        ((None, None), ("pooler", None),
         "an error of unknown size (relative) enters here; the outputs stay within tolerance"),
        (("head", "1e-01"), ("pooler", "1e-01"), None),
        (("head", "1e-01"), (None, None), None),
    ],
)  # fmt: skip
def test_an_error_that_outputs_hide(before: tuple[Any, Any], after: tuple[Any, Any], found: str | None) -> None:
    def of(values: tuple[Any, Any]) -> Record:
        return edited(lambda record: record["parity"].update(first_divergence=values[0], divergence=values[1]))

    assert said(of(before), of(after)) == ([] if found is None else [("parity.worse", "pooler", found)])


def adapter(size: int, path: str = "encoder.layer.1.adapter") -> Record:
    def change(rows: dict[str, Row]) -> None:
        rows[path] = row(path, "Adapter", {"MatMul": 1}, weights={"FLOAT": size})

    return changed(change)


def test_growth_by_new_modules_is_theirs() -> None:
    new = ("module.added", "encoder.layer.1.adapter", "new module Adapter (1 node)")
    words = "initializers 1.4 MB -> 1.6 MB (+14.2%), in encoder.layer.1.adapter"
    assert said(bert(), adapter(200_000)) == [("weights.grown", "encoder.layer.1.adapter", words), new]
    assert said(bert(), adapter(100)) == [new]
    assert said(adapter(200_000), bert()) == [
        ("module.removed", "encoder.layer.1.adapter", "removed module Adapter (1 node)")
    ]

    def exchange(rows: dict[str, Row]) -> None:
        rows.pop("pooler.dense")
        rows["extra"] = row("extra", "Extra", {"MatMul": 1}, weights={"FLOAT": 200_000})

    grown, *_ = said(bert(), changed(exchange))
    assert grown == ("weights.grown", "extra", "initializers 1.4 MB -> 1.6 MB (+13.9%), in extra")


@pytest.mark.parametrize(
    ("before", "kind", "after", "code"),
    [
        (4096, "INT4", 127, "record.changed"),  # 254 elements of 1,024
        (4096, "INT4", 128, "weights.dtype"),
        (60, "FLOAT16", 30, "weights.dtype"),  # 15 elements: few, but of another float, as the model's parameters are
        (60, "INT8", 15, "record.changed"),
        (64, "INT8", 16, "weights.dtype"),
        (64, "INT4", 8, "weights.dtype"),
        (4096, "INT4", 512, "weights.dtype"),
    ],
)
def test_sixteen_elements_are_a_parameter(before: int, kind: str, after: int, code: str) -> None:
    def of(weights: dict[str, int]) -> Record:
        return changed(lambda rows: rows["pooler.dense"].update(weights=weights))

    assert [found for found, _, _ in said(of({"FLOAT": before}), of({kind: after}))] == [code]
    if before == 4096:
        back = [found for found, _, _ in said(of({kind: after}), of({"FLOAT": before}))]
        assert ("weights.dtype" in back) is (code == "weights.dtype")


@pytest.mark.parametrize(("nodes", "exploded"), [(37, False), (38, True)])
def test_a_graph_explodes_when_its_nodes_more_than_double(nodes: int, exploded: bool) -> None:
    before, after = record_of(model_rows(1)), record_of(model_rows(1), untagged={"Shape": nodes})
    assert before["graph"]["nodes"] == 37
    found = [(code, message) for code, _, message in said(before, after) if code == "ops.exploded"]
    assert found == ([("ops.exploded", f"37 -> {37 + nodes} nodes in the graph")] if exploded else [])
    fixed = edited(lambda record: record["inputs"][0].update(dims=[2, "d1"]), after)
    assert "ops.exploded" not in [code for code, _, _ in said(before, fixed)]


def test_new_operators_and_a_new_type_are_two_findings() -> None:
    def change(rows: dict[str, Row]) -> None:
        add_ops(rows["pooler"], {"Cast": 1}, "FLOAT16")
        add_ops(rows["pooler"], {"Tanh": -1})

    assert said(bert(), changed(change)) == [
        ("dtype.internal", "pooler", "Cast 0 -> 1, Tanh 1 -> 0; now computes in FLOAT16"),
        ("ops.changed", "pooler", "Cast 0 -> 1, Tanh 1 -> 0"),
    ]


def made(makers: list[str], types: dict[str, str] | None = None, names: str = "abc", **fields: Any) -> Record:
    def edit(record: Record) -> None:
        record["outputs"] = [
            {"name": name, "dtype": (types or {}).get(name, "FLOAT"), "dims": [1], "module": module, **fields}
            for name, module in zip(names, makers, strict=False)
        ]
        record["parity"] = {"measured": False}

    return edited(edit)


def test_types_of_outputs_that_changed_places_are_compared_by_maker_where_that_is_one() -> None:
    types = {"b": "INT64"}, {"c": "INT64"}
    exchanged = ("io.reordered", None, "outputs b, c are now made by each other's modules")
    assert said(made(["head", "pooler", "encoder"], types[0]), made(["head", "encoder", "pooler"], types[1])) == [
        exchanged
    ]
    both = said(made(["pooler", "pooler", "head"], types[0]), made(["pooler", "head", "pooler"], types[1]))
    assert both == [exchanged, ("io.dtype", None, "output b: INT64 -> FLOAT; output c: FLOAT -> INT64")]


@pytest.mark.parametrize(("named", "code"), [((True, False), "io.renamed"), ((False, False), "record.changed")])
def test_a_name_that_the_exporter_made_up_is_not_renamed(named: tuple[bool, bool], code: str) -> None:
    records = (made(["pooler"], names=name, named=known) for name, known in zip("ab", named, strict=True))
    assert [found for found, _, _ in said(*records)] == [code]
