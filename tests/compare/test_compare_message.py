"""The failure message, the policy, and the order of verdicts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pytest_htp.compare.codes import CODES
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Comparison, Finding
from pytest_htp.compare.markdown import render_markdown
from pytest_htp.compare.message import render_failure
from pytest_htp.compare.policy import Policy
from pytest_htp.compare.verdicts import at_or_above, severity, worst
from pytest_htp.errors import HTPUsageError
from pytest_htp.report import markdown as report_markdown
from pytest_htp.text import markdown
from tests.compare._records import Record, add_ops, bert, changed

REPRODUCE = "pytest 'tests/a_rather_long_folder_name/test_models.py::test_bert[hub-org/a-model-with-a-long-id]'"
COMMANDS = {"reproduce": REPRODUCE, "accept": f"{REPRODUCE} --snapshot-update"}


def mixed() -> Record:
    def change(rows: dict[str, Any]) -> None:
        for index in range(12):
            item = rows[f"encoder.layer.{index}.attention.self"]
            add_ops(item, {"Attention": -1, "MatMul": 2, "Softmax": 1})
        add_ops(rows["pooler"], {"Mul": 1})

    record = changed(change)
    record["outputs"][0]["name"] = "hidden"
    return record


def message(after: Record, **options: Any) -> str:
    settings: dict[str, Any] = {"name": "test_bert", "fail_on": "drift", "commands": COMMANDS, **options}
    return render_failure(compare_exports(bert(), after), **settings)


def test_the_message_says_what_where_how_bad_and_what_to_do() -> None:
    lines = message(mixed()).splitlines()
    assert lines[0] == "test_bert: breaking (3 findings at or above drift)"
    order = [
        line.split()[1]
        for line in lines
        if line.startswith("  ") and line.split()[0] in ("breaking", "regression", "drift")
    ]
    assert order == ["io.renamed", "fusion.lost", "ops.changed"]
    assert "  regression  fusion.lost  encoder.layer.{0..11}.attention.self" in lines
    assert "    Attention 1 -> 0, MatMul 0 -> 2, Softmax 0 -> 1; 9 -> 11 nodes" in lines
    assert f"  {REPRODUCE}" in lines
    assert f"  {REPRODUCE} --snapshot-update" in lines


def test_it_fits_80_columns_but_for_the_commands_which_stay_whole() -> None:
    after = mixed()
    after["outputs"][0]["name"] = "a_very_long_output_name_" * 9
    for line in message(after).splitlines():
        assert len(line) <= 80 or line.strip().startswith("pytest ")


def test_the_toolchain_comes_first_with_what_it_can_explain() -> None:
    after = mixed()
    after["toolchain"]["torch"] = "2.14.0"
    after["modules"] = [row for row in after["modules"] if row["path"] != "pooler.dense"]
    text = message(after)
    cause, explained, rest = (
        text.index(part) for part in ("torch 2.13.0 -> 2.14.0", "it can explain", "it can't explain")
    )
    assert cause < explained < text.index("fusion.lost") < rest < text.index("module.removed")


def test_long_lists_are_capped_and_say_so() -> None:
    findings = tuple(Finding("ops.changed", f"Add 0 -> {n}", module=f"m{n}") for n in range(50))
    text = render_failure(Comparison(findings), name="t", fail_on="drift", commands={"report": "out/index.html"})
    assert text.count("ops.changed") == 20
    assert "... and 30 more; the full list is in out/index.html" in text
    assert render_failure(Comparison(findings), name="t", fail_on="drift", limit=None).count("ops.changed") == 50


def test_hostile_names_reach_no_terminal_and_no_markdown() -> None:
    evil = "\x1b[31m\n::error::x\u202e|<img src=x>@all `a` www.evil.example https://evil.example"
    found = Comparison((Finding("ops.changed", evil, module=evil, before=evil, after=evil),))
    text = render_failure(found, name=evil, fail_on="drift", commands={"accept": evil})
    assert all(line.isprintable() for line in text.split("\n"))
    assert not any(line.startswith("::") for line in text.split("\n"))
    cells = render_markdown(found, evil, "drift")
    assert "<img" not in cells
    assert "&#124;" in cells
    assert "@all" not in cells
    assert "www.evil" not in cells
    assert "https:" not in cells
    assert all(line.isprintable() for line in cells.replace("\u200b", "").split("\n"))


def test_one_escaper_for_all_markdown() -> None:
    words = "a_b [x](y) <b> *c* @all www.evil.example"
    assert markdown(words) == report_markdown.text(words)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (None, ["a", 2, None], "none -> a, 2, "),
        ({"a": 1, "b": {"c": 2.5}}, None, "a 1, b c 2.5 -> none"),
        (1, True, "1 -> true"),
        ("x" * 160, "y" * 161, f"{'x' * 160} -> {'y' * 157}..."),
        (3, 3, None),
        (None, None, None),
        ("", [], None),
    ],
)
def test_values_are_shown_where_the_message_has_none(before: Any, after: Any, shown: str | None) -> None:
    finding = Finding("ops.changed", "something", module="m", before=before, after=after)
    lines = render_failure(Comparison((finding,)), name="t", fail_on="drift", width=1000).splitlines()
    assert lines[-1].strip() == ("something" if shown is None else shown.strip())
    arrow = Finding("ops.changed", "a -> b", module="m", before=before, after=after)
    assert render_failure(Comparison((arrow,)), name="t", fail_on="drift", width=1000).endswith("    a -> b")


def test_who_can_cause_a_finding() -> None:
    assert [Finding(code, "m").cause for code in ("fusion.lost", "module.added")] == ["exporter", "model"]
    assert Finding("x-vendor.what", "m", verdict="drift").cause == "model"
    for verdict in ("unchanged", "worst", None):
        with pytest.raises(
            HTPUsageError, match="needs a verdict, one of breaking, regression, drift, improvement, info;"
        ):
            Finding("x-vendor.what", "m", verdict=verdict)
    with pytest.raises(HTPUsageError, match=r"known: breaking, regression, drift, improvement, info, ignore$"):
        Policy.parse("ops.changed:unchanged")


def test_a_finding_is_pickled_and_copied() -> None:
    finding = Finding("ops.changed", "m", module="a", before={"nodes": [1]}, stage="fp16")
    for other in (pickle.loads(pickle.dumps(finding)), copy.deepcopy(finding)):
        assert type(other) is Finding
        assert other == finding
        assert other["before"]["nodes"] is not finding["before"]["nodes"]


def test_a_table_of_findings_names_the_toolchain_that_changed() -> None:
    found = Comparison((Finding("ops.changed", "m", module=""),), (("torch", "1", None), ("onnx", None, "2")))
    table = render_markdown(found, "net", "regression").replace("\\", "")
    assert "0 of 1 findings at or above regression." in table
    assert "\n\nLikely cause, the toolchain changed:\n\n- torch 1 → absent\n- onnx absent → 2\n\n| verdict" in table
    assert render_markdown(Comparison(), "net", "drift") == "### net: unchanged\n\nNothing changed."


def test_without_findings_the_message_is_one_line() -> None:
    assert render_failure(Comparison(), name="t", fail_on="drift") == "t: unchanged"


def test_policy_overrides_verdicts_and_drops_ignored_findings() -> None:
    result = compare_exports(bert(), mixed(), policy="fusion.lost:ignore, io.renamed:drift\nops.changed:breaking")
    assert [(f.code, f.verdict) for f in result.findings] == [
        ("ops.changed", "breaking"),
        ("io.renamed", "drift"),
    ]
    assert Policy.parse("").verdict("io.renamed") == "breaking"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ops.change:ignore", "ops.changed"),
        ("ops.changed:never", "ignore"),
        ("ops.changed", "code:verdict"),
        ("ops.changed:drift ops.changed:ignore", "twice"),
        ("ops.changed:unchanged", "unknown verdict"),
    ],
)
def test_a_bad_policy_says_what_is_known(text: str, says: str) -> None:
    with pytest.raises(HTPUsageError, match=says):
        Policy.parse(text)


def test_verdicts_are_ordered() -> None:
    assert worst(["info", "drift", "improvement"]) == "drift"
    assert worst([]) == "unchanged"
    assert at_or_above("breaking", "drift")
    assert not at_or_above("improvement", "drift")
    with pytest.raises(HTPUsageError, match="known, worst first: breaking"):
        severity("bad")


def test_every_code_is_documented() -> None:
    for code in CODES.values():
        assert code.definition.endswith(".")
        assert code.example
        assert severity(code.verdict) > 0
    with pytest.raises(HTPUsageError, match="known"):
        Finding("no.code", "x")
