"""The decision about an export and its baseline: pure, on recorded data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_htp.baseline.stored import Stored
from pytest_htp.compare.policy import Policy
from pytest_htp.format.read import record_of
from pytest_htp.format.record import Record
from pytest_htp.report.result import BaselineState
from pytest_htp.session.judge import Judgement, Rules, Then, export_missing
from pytest_htp.session.judge import judge as judge_record
from tests.compare._records import add_ops, bert, changed, edited

DRIFTED = changed(lambda rows: add_ops(rows["pooler"], {"Mul": 1}))
BAD = edited(lambda record: record["parity"].update(failed=["last_hidden_state"]))


def stored(record: dict[str, Any] | None = None, problem: str | None = None) -> Stored:
    return Stored(Path("b.json"), None if record is None else record_of(record), problem)


def judge(record: dict[str, Any], baseline: Stored | None, rules: Rules, *, compares: bool = True) -> Judgement:
    return judge_record(record_of(record), baseline, rules, compares=compares)


def test_what_holds_is_confirmed() -> None:
    found = judge(bert(), stored(bert()), Rules("drift"))
    assert (found.state, found.failed, found.then) == (BaselineState.UNCHANGED, False, Then.CONFIRM)
    assert found.comparison.findings == ()


def test_a_change_fails_and_can_be_accepted() -> None:
    found = judge(DRIFTED, stored(bert()), Rules("drift"))
    assert (found.state, found.failed, found.then) == (BaselineState.CHANGED, True, Then.MISMATCH)
    assert found.acceptable
    assert [finding.code for finding in found.comparison.findings] == ["ops.changed"]
    mild = judge(DRIFTED, stored(bert()), Rules("regression"))
    assert (mild.failed, mild.then, mild.comparison.verdict) == (False, Then.CONFIRM, "drift")


def test_updating_accepts_a_change_and_not_what_is_wrong_anyway() -> None:
    found = judge(DRIFTED, stored(bert()), Rules("drift", update=True))
    assert (found.failed, found.then, found.comparison.verdict) == (False, Then.WRITE, "drift")
    bad = judge(BAD, stored(bert()), Rules("drift", update=True))
    assert (bad.failed, bad.then, bad.acceptable) == (True, Then.NOTHING, False)
    assert [finding.code for finding in bad.comparison.findings] == ["parity.failed"]


def test_without_a_baseline_there_is_one_to_create() -> None:
    found = judge(bert(), None, Rules("drift"))
    assert (found.state, found.failed, found.then, found.acceptable) == (
        BaselineState.MISSING,
        True,
        Then.NOTHING,
        True,
    )
    written = judge(bert(), None, Rules("drift", update=True))
    assert (written.failed, written.then) == (False, Then.WRITE)


def test_what_is_wrong_anyway_gets_no_baseline_and_no_command_for_one() -> None:
    found = judge(BAD, None, Rules("drift"))
    assert (found.state, found.failed, found.acceptable) == (BaselineState.MISSING, True, False)
    assert [finding.code for finding in found.comparison.findings] == ["parity.failed"]


def test_a_baseline_that_cant_be_read_fails_whatever_the_export_is() -> None:
    found = judge(bert(), stored(None, "b.json: empty"), Rules("breaking"))
    assert (found.state, found.failed, found.then) == (BaselineState.ERROR, True, Then.NOTHING)


def test_without_comparing_only_what_is_wrong_anyway_counts() -> None:
    fine = judge(DRIFTED, None, Rules("drift"), compares=False)
    assert (fine.state, fine.failed) == (BaselineState.OFF, False)
    bad = judge(BAD, None, Rules("drift"), compares=False)
    assert (bad.failed, bad.acceptable) == (True, False)
    assert judge(bert(), None, Rules("drift", min_coverage=100), compares=False).failed is False
    uncovered = changed(lambda rows: None, untagged={"Add": 50})
    assert judge(uncovered, None, Rules("drift", min_coverage=99), compares=False).failed is True


def test_findings_of_other_plugins_count() -> None:
    def others(before: Record | None) -> list[dict[str, Any]]:
        return [] if before is None else [{"code": "x-team.size", "verdict": "regression", "message": "too large"}]

    found = judge(bert(), stored(bert()), Rules("drift", others=others))
    assert (found.failed, found.acceptable, found.comparison.verdict) == (True, True, "regression")


def test_a_baseline_of_edition_1_holds_as_it_did() -> None:
    """Neither what edition 1 could not say, nor its being old, changes a baseline."""
    today = edited(lambda record: record.update(test="test_bert", export=""))
    for row in today["modules"]:
        row.update(program=["Add"], params_bytes=4)
    today["untagged"]["program"] = ["Add"]
    today["outputs"][0]["value"] = "Add.0"
    assert stored(bert()).holds(record_of(today), 6)
    other = edited(lambda record: record["graph"].update(nodes=1), today)
    assert not stored(bert()).holds(record_of(other), 6)


@pytest.mark.parametrize(
    ("policy", "verdict"), [("", "regression"), ("export.missing:info", "info"), ("export.missing:ignore", None)]
)
def test_a_missing_export_has_the_verdict_of_the_policy(policy: str, verdict: str | None) -> None:
    baseline = stored(edited(lambda record: record.update(export="decode")))
    found = export_missing(baseline, "x/b.json", Policy.parse(policy))
    assert (found and found.verdict) == verdict
    if found is not None:
        (finding,) = found.findings
        assert "'decode'" in finding.message
        assert "x/b.json" in finding.message
