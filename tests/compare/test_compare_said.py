"""What a finding says, word for word, where no recorded fault does."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from pytest_htp.errors import HTPUsageError
from tests.compare._records import Record, Row, add_ops, bert, changed, edited, row
from tests.compare.test_compare_stages import quality

LINES = {
    "Mul": "net.py:3",
    "Tanh": "net.py:9",
    "Gather": "net.py:1",
    "Sin": "net.py:4",
    "Cos": "net.py:5",
    "Exp": "net.py:7",
}


def said(before: Record, after: Record, **options: Any) -> list[tuple[str, str | None, str]]:
    findings = compare_exports(before, after, **options).findings
    return [(finding.code, finding.module, finding.message) for finding in findings]


def with_ops(**counts: int) -> Record:
    return changed(lambda rows: add_ops(rows["pooler"], counts))


@pytest.mark.parametrize(
    ("after", "lines", "ending"),
    [
        (with_ops(Mul=1), LINES, " (at net.py:3)"),
        (with_ops(Abs=1), LINES, "3 nodes"),
        (with_ops(Mul=1, Sin=1), LINES, " (at net.py:3, net.py:4)"),
        (with_ops(Mul=1, Sin=1, Cos=1, Exp=1), LINES, " (at net.py:3, net.py:4, net.py:5)"),
        (with_ops(Tanh=-1), LINES, " (at net.py:1)"),  # what is left of it
        (with_ops(Tanh=-1, Mul=1), LINES, " (at net.py:3)"),
        (
            changed(lambda rows: rows["pooler"].update(fingerprint="x")),
            LINES,
            "attributes or wiring",
        ),  # of two lines, either
        (changed(lambda rows: rows["pooler"].update(fingerprint="x")), {"Tanh": "net.py:9"}, " (at net.py:9)"),
        (with_ops(Mul=1), {}, "3 nodes"),
    ],
)
def test_the_users_line_is_that_of_what_the_module_gained(after: Record, lines: dict[str, str], ending: str) -> None:
    ((_, _, message),) = said(bert(), after, sources={"pooler": lines})
    assert message.endswith(ending)
    newer = edited(lambda record: record["toolchain"].update(torch="9"), after)
    assert all("net.py" not in message for _, _, message in said(bert(), newer, sources={"pooler": lines}))


def renamed(rows: dict[str, Row]) -> None:
    for old, new in (("pooler", "pool"), ("pooler.dense", "pool.dense")):
        rows[new] = {**rows.pop(old), "path": new}


def test_a_module_under_another_path() -> None:
    moved = ("module.added", "pool", "BertPooler was pooler, is now pool")
    assert said(bert(), changed(renamed)) == [moved]

    def and_changed(rows: dict[str, Row]) -> None:
        renamed(rows)
        add_ops(rows["pool"], {"Sin": 1})

    assert said(bert(), changed(and_changed)) == [moved, ("ops.changed", "pool", "Sin 0 -> 1; 2 -> 3 nodes")]

    def twice(rows: dict[str, Row]) -> None:
        and_changed(rows)
        rows["other"] = row("other", "BertPooler", {"Exp": 1})  # one gone, two new of that class

    assert ("module.removed", "pooler", "removed module BertPooler (2 modules, 4 nodes)") in said(
        bert(), changed(twice)
    )


def test_control_flow_in_a_module_and_in_what_it_calls() -> None:
    def own(rows: dict[str, Row]) -> None:
        add_ops(rows["pooler"], {"If": 1, "Tanh": -1})
        add_ops(rows["pooler.dense"], {"Identity": 1})
        add_ops(rows["head"], {"Identity": 1})

    assert said(bert(), changed(own)) == [
        ("controlflow.added", "pooler", "If 0 -> 1, Tanh 1 -> 0"),
        ("ops.changed", "head", "Identity 0 -> 1; 2 -> 3 nodes"),
    ]
    found = compare_exports(bert(), changed(own)).findings[0]
    assert (found.before, found.after) == ({"If": 0}, {"If": 1})

    def new(rows: dict[str, Row]) -> None:
        rows["extra"] = row("extra", "Extra", {"If": 1, "Loop": 2, "Add": 2})

    assert said(bert(), changed(new)) == [
        ("controlflow.added", "extra", "If 0 -> 1, Loop 0 -> 2 in a new module"),
        ("module.added", "extra", "new module Extra (5 nodes)"),
    ]
    assert compare_exports(bert(), changed(new)).findings[0].after == {"If": 1, "Loop": 2}


def contradicted(*paths: str, base: Record | None = None) -> Record:
    return edited(lambda record: record["attestation"].update(contradicted=list(paths)), base)


def test_a_contradicted_tag_is_named_at_the_innermost_module() -> None:
    words = "the values this module computes in PyTorch are not those of its nodes"
    assert said(contradicted(), contradicted("pooler")) == [("attestation.contradicted", "pooler", words)]
    assert said(contradicted("pooler"), contradicted("pooler")) == []
    assert said(contradicted("pooler"), contradicted()) == []
    both = contradicted("pooler", "pooler.dense")
    assert said(contradicted(), both) == [("attestation.contradicted", "pooler.dense", words)]
    unmeasured = edited(lambda record: record.update(attestation={"measured": False}))
    assert said(unmeasured, both) == []
    guessed = changed(lambda rows: rows["pooler"].update(evidence={"inferred": 2}))
    assert said(contradicted(), contradicted("pooler", base=guessed)) == [
        ("direct.dropped", "pooler", "direct 100% -> 99.28%; values contradict the tags of 1 module")
    ]
    far = "encoder.layer.1.dense"
    assert ("attestation.contradicted", far, words) in said(contradicted(), contradicted(far, base=guessed))


def test_the_quality_of_an_export_that_is_quantized_itself() -> None:
    good, bad = ({**bert(), "quality": quality({"pooler": n}, {"pooler_output": n})} for n in (60, 30))
    words = "begins in this module; output pooler_output: SQNR"
    assert said(good, bad) == [("quality.worse", "pooler", f"SQNR 60 -> 30 dB, {words} 60 -> 30 dB")]
    assert said(bad, good) == [("quality.better", "pooler", f"SQNR 30 -> 60 dB, {words} 30 -> 60 dB")]
    assert said(good, bert()) == []


def test_a_renamed_tensor_is_compared_as_what_it_was() -> None:
    def edit(record: Record) -> None:
        record["outputs"][1].update(name="p", dims=[2, 128])

    findings = compare_exports(bert(), edited(edit)).findings
    assert [(each.code, each.message) for each in findings] == [
        ("io.renamed", "output pooler_output is now called p"), ("io.dim_fixed", "output p axis 0: d0 -> 2"),
    ]  # fmt: skip
    assert (findings[0].before, findings[0].after) == ({"pooler_output": "pooler_output"}, {"pooler_output": "p"})
    assert (findings[1].before, findings[1].after) == ({"p": ["d0", 128]}, {"p": [2, 128]})

    def of_another_type(record: Record) -> None:
        record["inputs"][0].update(name="ids", dtype="INT32")

    findings = compare_exports(bert(), edited(of_another_type)).findings
    assert [(each.code, each.message) for each in findings] == [
        ("io.input_added", "new input ids"), ("io.input_removed", "removed input input_ids"),
    ]  # fmt: skip
    assert (findings[0].before, findings[0].after) == (None, {"ids": "INT32[d0, d1]"})
    assert (findings[1].before, findings[1].after) == ({"input_ids": "INT64[d0, d1]"}, None)


def dims(*rows: list[Any]) -> Record:
    def edit(record: Record) -> None:
        record["inputs"] = [{"name": f"i{n}", "dtype": "FLOAT", "dims": row} for n, row in enumerate(rows)]
        record["outputs"] = []
        record["parity"] = {"measured": False}

    return edited(edit)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ((["d0"], ["d1"]), (["d0"], ["d0"]), [("io.dim_symbol", "input i1 axis 0 now equals input i0 axis 0")]),
        ((["d0"], ["d0"]), (["d0"], ["d1"]), [("io.dim_symbol", "input i1 axis 0 no longer equals input i0 axis 0")]),
        ((["d0"], ["d1"]), (["d1"], ["d0"]), [("record.changed", "differs without a finding: inputs")]),
        ((["batch"], ["d0"]), (["d0"], ["d1"]), [("io.renamed", "input i0 axis 0 is now called d0, was batch")]),
        ((["batch"], ["batch"]), (["b"], ["b"]), [("io.renamed", "input i0 axis 0 is now called b, was batch")]),
        ((["d0"], ["2*d0"]), (["d0"], ["2*d0"]), []),
        (
            (["d0"], ["d1", "d0 + d1"]),
            (["d1"], ["d0", "d0 + d1"]),  # the same sum
            [("record.changed", "differs without a finding: inputs")],
        ),
        ((["d0"], ["2*d0"]), (["d0"], ["3*d0"]), [("io.dim_symbol", "input i1 axis 0: 2*d0 -> 3*d0")]),
        ((["d0"],), ([None],), [("io.dim_symbol", "input i0 axis 0: d0 -> unknown")]),
        (([None],), (["d0"],), [("record.changed", "differs without a finding: inputs")]),
        (([2],), ([3],), [("io.dim_changed", "input i0 axis 0: 2 -> 3")]),
        (([2],), (["d0"],), [("io.dim_freed", "input i0 axis 0: 2 -> d0")]),
        (([2],), ([2, 3],), [("io.rank", "input i0: 1 axis -> 2 axes")]),
    ],
)
def test_axes(before: tuple[list[Any], ...], after: tuple[list[Any], ...], found: list[tuple[str, str]]) -> None:
    assert [(code, message) for code, _, message in said(dims(*before), dims(*after))] == found


@pytest.mark.parametrize(
    ("option", "bad", "good"),
    [("quality_tolerance", (-1, "6", None), (0, 6.5)), ("min_coverage", (-0.1, 100.1, "x"), (0, 100, None)),
     ("coverage_tolerance", (-1, 101, "x"), (0, 100))],
)  # fmt: skip
def test_options_out_of_range_are_refused(option: str, bad: tuple[Any, ...], good: tuple[Any, ...]) -> None:
    for value in bad:
        with pytest.raises(HTPUsageError, match=f"{option} must be"):
            compare_exports(bert(), bert(), **{option: value})
    for value in good:
        assert not compare_exports(bert(), bert(), **{option: value}).findings
