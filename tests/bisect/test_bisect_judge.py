"""What counts as a change, on stored records; and a whole search on reports that are only read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert
from packaging.version import Version

from pytest_htp.bisect.hunt import Hunt
from pytest_htp.bisect.judge import changes, failing
from pytest_htp.bisect.ranges import Row
from pytest_htp.bisect.rounds import Round, Rounds
from pytest_htp.bisect.state import Kept
from pytest_htp.errors import HTPUsageError
from pytest_htp.report.model import build_report
from pytest_htp.report.result import ExportResult, Incomplete, Report
from tests.compare._records import add_ops, bert, changed

FINDING = {
    "code": "ops.changed", "verdict": "drift", "module": "pooler", "message": "Mul 0 -> 1", "before": {}, "after": {},
}  # fmt: skip
INFO = {**FINDING, "code": "toolchain.changed", "verdict": "info", "module": None}
OTHER = changed(lambda rows: add_ops(rows["pooler"], {"Mul": 1}))


def export(test: str, **more: Any) -> dict[str, Any]:
    return {"nodeid": f"test_m.py::{test}", "name": test, "fail_on": "drift", "record": bert(), **more}


def report(*exports: dict[str, Any], incomplete: tuple[Incomplete, ...] = ()) -> Report:
    return build_report(convert([*exports], list[ExportResult]), {}, incomplete=incomplete)


def names(found: list[Any]) -> list[str]:
    return [change.name for change in found]


def test_findings_that_fail_the_test_are_changes_and_milder_ones_are_not() -> None:
    good = report(export("test_a", before=bert(), findings=[INFO]), export("test_b", before=bert()))
    assert changes(good, good) == failing(good) == []
    bad = report(export("test_a", before=bert(), findings=[INFO, FINDING]), export("test_b", before=bert()))
    (change,) = changes(good, bad)
    assert (change.name, change.verdict, [row.code for row in change.findings]) == ("test_a", "drift", ["ops.changed"])
    assert names(failing(bad)) == ["test_a"]
    mild = report(export("test_a", before=bert(), findings=[FINDING], fail_on="regression"), export("test_b"))
    assert changes(good, mild) == []


def test_without_a_baseline_the_good_export_is_what_counts() -> None:
    good, now = report(export("test_a")), report(export("test_a", record=OTHER))
    (change,) = changes(good, now)
    assert (change.findings[0].code, change.findings[0].module) == ("ops.changed", "pooler")
    assert failing(good) == [], "a missing baseline is no failure"
    mild = report(export("test_a", record=OTHER, fail_on="regression"))
    assert changes(good, mild) == []


def test_exports_that_stop_or_are_not_made_are_changes() -> None:
    good = report(export("test_a"), export("test_b"), export("test_c"), export("test_c[x]", nodeid="test_m.py::test_c"))
    error = {"step": "onnx_export", "type": "RuntimeError", "message": "no such operator\nat 0x1"}
    now = report(
        export("test_a", record=None, error=error),
        export("test_c"),
        incomplete=(Incomplete(nodeid="test_m.py::test_b", outcome="failed", message="setup: ImportError: Net"),),
    )
    found = {change.name: change for change in changes(good, now)}
    assert {name: (change.verdict, change.reason) for name, change in found.items()} == {
        "test_a": ("breaking", "RuntimeError: no such operator"),
        "test_b": ("breaking", "setup: ImportError: Net"),
        "test_c[x]": ("breaking", "the export is not made"),
    }


def test_a_file_that_cannot_be_imported_says_why() -> None:
    entry = Incomplete(nodeid="test_m.py", outcome="lost", message="can't be collected: ImportError: Net")
    (change,) = changes(report(export("test_a")), report(incomplete=(entry,)))
    assert change.reason == "can't be collected: ImportError: Net"


def test_a_test_that_fails_after_its_export_is_a_change_unless_it_always_did() -> None:
    entry = Incomplete(nodeid="test_m.py::test_a", outcome="failed", message="AssertionError")
    good, now = report(export("test_a")), report(export("test_a"), incomplete=(entry,))
    assert [change.reason for change in changes(good, now)] == ["AssertionError"]
    assert changes(now, now) == []


def test_what_did_not_run_since_pytest_stopped_early_is_no_change() -> None:
    good = report(export("test_a"), export("test_b"))
    stopped = Incomplete(nodeid="", outcome="lost", message="pytest stopped early")
    now = report(export("test_a", record=OTHER), incomplete=(stopped,))
    assert names(changes(good, now)) == ["test_a"]


def test_only_the_tests_that_ran_are_compared() -> None:
    good = report(export("test_a"), export("test_b"))
    assert changes(good, report(export("test_a")), frozenset({"test_m.py::test_a"})) == []


class StoredRounds(Rounds):
    """Rounds whose reports are given."""

    def __init__(self, given: Callable[[Mapping[str, int]], Report | None]) -> None:
        super().__init__((), Path("state"), "uv", None, lambda made: self.asked.append(made))
        self.asked: list[Round] = []
        self._given = given

    def _run(self, folder: Path, pins: Mapping[str, Version], only: frozenset[str] | None) -> Round:
        found = self._given({name: number.major for name, number in pins.items()})
        return Round(pins, Kept(versions={}, report_sha256=None, trouble="" if found else "no wheel"), found, folder)


def hunt(given: Callable[[Mapping[str, int]], Report | None], **counts: int) -> tuple[Any, StoredRounds]:
    rows = [Row(name, tuple(Version(str(number)) for number in range(count))) for name, count in counts.items()]
    rounds = StoredRounds(given)
    return Hunt(rows, rounds, lambda *said: None).run(), rounds


GOOD, BAD = report(export("test_a"), export("test_b")), report(export("test_a", record=OTHER), export("test_b"))


def test_the_first_bad_version_of_the_guilty_package_is_found() -> None:
    (culprit,), rounds = hunt(lambda at: BAD if at["b"] >= 5 else GOOD, a=9, b=9, c=9)
    assert (culprit.row.name, str(culprit.last_good), str(culprit.first_bad)) == ("b", "4", "5")
    assert names(culprit.changes) == ["test_a"]
    assert culprit.others == {}
    assert len(rounds.asked) == len({made.folder for made in rounds.asked}) <= 2 + 2 * 2 + 3, "nothing runs twice"


def test_two_packages_that_are_guilty_together_are_both_named() -> None:
    found, _ = hunt(lambda at: BAD if at["a"] >= 2 and at["c"] >= 3 else GOOD, a=4, b=4, c=5)
    assert [(culprit.row.name, str(culprit.first_bad)) for culprit in found] == [("a", "2"), ("c", "3")]
    assert {name: str(number) for name, number in found[0].others.items()} == {"c": "4"}


def test_a_version_that_does_not_install_is_passed_over() -> None:
    (culprit,), _ = hunt(lambda at: None if at["a"] == 4 else BAD if at["a"] >= 5 else GOOD, a=9)
    assert [culprit.row.versions[place].major for place in culprit.bracket.unknown] == [4]
    assert (str(culprit.last_good), str(culprit.first_bad)) == ("3", "5")


def test_ends_that_export_the_same_find_nothing() -> None:
    found, rounds = hunt(lambda at: GOOD, a=9, b=9)
    assert found == []
    assert len(rounds.asked) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda at: report(), "the tests export nothing with a==0"),
        (lambda at: None, "the good end, a==0: no wheel"),
        (lambda at: None if at["a"] else GOOD, "the bad end, a==3: no wheel"),
        (
            lambda at: report(export("test_a", before=bert(), findings=[FINDING])),
            r"a==0 is bad already: test_m\.py::test_a \(drift ops\.changed pooler\)\. .*the wrong way round",
        ),
    ],
)
def test_ends_that_cannot_be_searched_between_are_told(given: Callable[[Any], Report | None], message: str) -> None:
    with pytest.raises(HTPUsageError, match=message):
        hunt(given, a=4)
