from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from htp_sample_results import ENVIRONMENT, TOOLCHAIN, build_report, record, result, row, sample_results

import pytest_htp
from pytest_htp.cli import main
from pytest_htp.cli import merge as command
from pytest_htp.errors import HTPUsageError
from pytest_htp.report.headline import headline
from pytest_htp.report.merge import merge_reports
from pytest_htp.report.model import dump_report
from pytest_htp.report.result import Shard
from pytest_htp.report.write import write_reports

ONE = record([row("", "One", {"Relu": 1})], "One")


def shard(folder: Path, results: list[dict[str, Any]], **more: Any) -> Path:
    write_reports(build_report(results, more.pop("environment", ENVIRONMENT), **more), folder)
    return folder


def test_merged_shards_equal_a_single_run(tmp_path: Path) -> None:
    results = sample_results()
    for number, item in enumerate(results):  # the samples are no two exports of one model
        item["parity"] = item["parity"] and {**item["parity"], "measured_by": number}
    shards = [shard(tmp_path / str(number), results[number::3]) for number in range(3)]
    single = shard(tmp_path / "single", results)
    merge_reports(shards, tmp_path / "out")
    for name in ("report.json", "summary.md", "index.html"):
        assert (tmp_path / "out" / name).read_bytes() == (single / name).read_bytes()
    merge_reports(shards[::-1], tmp_path / "again")
    assert (tmp_path / "again" / "report.json").read_bytes() == (single / "report.json").read_bytes()


def test_folders_of_the_exports_are_copied_without_links(tmp_path: Path) -> None:
    one = shard(tmp_path / "one", [result("test_a", None, artifacts="exports/test_a-1a2b3c4d")])
    two = shard(tmp_path / "two", [result("test_b", None, artifacts="exports/../../secret")])
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("x", "utf-8")
    folder = one / "exports" / "test_a-1a2b3c4d"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"onnx")
    (folder / "link").symlink_to(tmp_path / "secret")
    merge_reports([one, two], tmp_path / "out")
    copied = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert copied == [
        "exports",
        "exports/test_a-1a2b3c4d",
        "exports/test_a-1a2b3c4d/model.onnx",
        "index.html",
        "report.json",
        "summary.md",
    ]


def test_duplicates_count_once_with_a_note(tmp_path: Path) -> None:
    good, bad, later = (
        result("test_a", None, verdict=v, seconds=s) for v, s in (("info", 1), ("drift", 2), ("drift", 3))
    )
    shards = [shard(tmp_path / str(i), [item]) for i, item in enumerate((bad, good, later))]
    report = merge_reports(shards, tmp_path / "out")
    assert [(item.verdict, item.seconds) for item in report.exports] == [("drift", 3)]
    (note,) = report.notes
    assert "ran in 3 shards; counted once: drift" in note
    assert note in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_an_export_without_parity_is_merged(tmp_path: Path) -> None:
    off = result("test_a", None, parity={"measured": False, "reason": "parity=False"}, attestation={})
    report = merge_reports([shard(tmp_path / "one", [off])], tmp_path / "out")
    assert report.exports[0].attestation == {}


# What is in them is the baseline schema's matter, or the metadata's.
_INSIDE = ("record", "attestation", "parity")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("verdict", "bad", r"exports\[0\].verdict must be one of breaking"),
        ("nodeid", 3, r"exports\[0\].nodeid must be a string, got 3"),
        ("findings", [{}], r"exports\[0\].findings\[0\].code is missing"),
        ("steps", {"x": {"status": "done"}}, r"exports\[0\].steps.status must be one of those that the schema names"),
        ("seconds", True, "seconds must be a number or null, got True"),
        ("line", 0, "line must be a whole number from 1"),
        ("record", {"modules": 1}, r"exports\[0\].record: "),
        ("attestation", {"measured": True, "unmatched": True}, "attestation.unmatched must be a list, got True"),
        (
            "attestation",
            {"measured": True, "attested": "3"},
            "attestation.attested must be a whole number, got the string '3'",
        ),
        ("attestation", {"measured": True, "contradicted": [3]}, r"contradicted\[0\] must be a string, got 3"),
        ("attestation", {"measured": True, "unmatched": [{}]}, r"unmatched\[0\].module is missing"),
        ("parity", {"measured": True, "input_sets": [1]}, "parity.input_sets must be an object, got a list"),
        ("parity", {"measured": True, "outputs": [[1]]}, r"parity.outputs\[0\] must be an object"),
        ("parity", {"measured": True, "outputs": [{"name": "y", "max_abs": {}}]}, "max_abs must be a number or"),
        (
            "parity",
            {"measured": True, "first_divergence": [1]},
            "first_divergence must be a string or an object or null",
        ),
        ("commands", {"accept": None}, "commands.accept must be a string, got None"),
        ("seconds", 10**400, "seconds"),
    ],
)
def test_a_report_that_does_not_fit_its_schema_is_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    report = json.loads(dump_report(build_report(sample_results()[:1], ENVIRONMENT)))
    report["exports"][0][key] = value
    schema_file = Path(pytest_htp.__file__).parent / "schemas" / "report.schema.json"
    validator = jsonschema.Draft202012Validator(json.loads(schema_file.read_text("utf-8")))
    assert validator.is_valid(report) is (key in _INSIDE)
    (tmp_path / "report.json").write_text(json.dumps(report), "utf-8")
    with pytest.raises(HTPUsageError, match=words):
        merge_reports([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_no_json(tmp_path: Path, number: str) -> None:
    text = dump_report(build_report([result("t", None, seconds=123.5)], {}))
    (tmp_path / "report.json").write_text(text.replace("123.5", number), "utf-8")
    with pytest.raises(HTPUsageError, match="is not JSON"):
        merge_reports([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("baseline", [True, False])
def test_a_report_of_the_least_that_its_schema_asks_for_is_merged(tmp_path: Path, baseline: bool) -> None:
    """Whatever the schema lets through has to be drawn."""
    today = record([row("", "M", {"Add": 1}), row("a", "N", {"Mul": 1})], "M")
    today["model"] = {"class": "M"}
    today["graph"] = {"nodes": 2}
    today["attestation"] = {"measured": True, "attested": 0, "contradicted": [], "unmatched": [{"module": "a"}]}
    one = result("t", today, today if baseline else None, commands={})
    one["attestation"] = {"measured": True, "unmatched": [{"module": "a"}]}
    one["parity"] = {"measured": True, "outputs": [{"name": "y"}], "first_divergence": {"module": "a"}}
    other = result("u", None, commands={"reproduce": "pytest"}, steps={"onnx_export": {"status": "skipped"}})
    other["attestation"], other["parity"] = {"measured": True}, {"measured": True}
    merge_reports([shard(tmp_path / "one", [one, other])], tmp_path / "out")
    assert "○ unmatched" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_what_cant_be_drawn_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such report is known: that is why what the drawing raises is made up."""
    one = shard(tmp_path / "one", [])

    def fails(*_: object) -> None:
        raise TypeError("unexpected")

    monkeypatch.setattr("pytest_htp.report.merge.write_reports", fails)
    with pytest.raises(HTPUsageError, match=r"can't be drawn \(TypeError: unexpected\)"):
        merge_reports([one], tmp_path / "out")


def test_different_environments_are_kept_and_noted(tmp_path: Path) -> None:
    other = {**ENVIRONMENT, "toolchain": {**TOOLCHAIN, "torch": "2.14.0"}}
    one = shard(tmp_path / "one", [], notes=["worker gw0 crashed"])
    two = shard(tmp_path / "two", [], environment=other)
    report = merge_reports([one, two], tmp_path / "out")
    assert report.environment["toolchain"]["torch"] == "2.13.0, 2.14.0"
    assert report.notes == ["worker gw0 crashed", "the shards ran with different torch: 2.13.0, 2.14.0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "expected a directory that pytest --htp-report=DIR wrote"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "found None"),
        ('{"schema": "pytest-htp/report/2"}', "found 'pytest-htp/report/2'"),
        ('{"schema": "pytest-htp/report/1"}', "environment is missing"),
    ],
)
def test_bad_directories_are_named(tmp_path: Path, content: str | None, words: str) -> None:
    folder = tmp_path / "shard"
    folder.mkdir()
    if content is not None:
        (folder / "report.json").write_text(content, "utf-8")
    with pytest.raises(HTPUsageError, match=words) as caught:  # which ``htp`` answers with exit code 2
        run_cli(str(folder), "-o", str(tmp_path / "out"))
    assert str(folder / "report.json") in str(caught.value)
    assert not (tmp_path / "out").exists()


def run_cli(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["merge", *arguments])
    return int(parsed.run(parsed))


def test_command_merges_and_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = shard(tmp_path / "one", sample_results()[:4])
    two = shard(tmp_path / "two", sample_results()[4:])
    assert run_cli(str(one), str(two), "-o", str(tmp_path / "out")) == 0
    assert "11 exports: 2 breaking" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["exports"]) == 11


def test_output_must_not_be_an_input(tmp_path: Path) -> None:
    one = shard(tmp_path / "one", [])
    with pytest.raises(HTPUsageError, match="both an input and the output"):
        merge_reports([one], tmp_path / "one")


def numbered(folder: Path, number: int, of: int, results: list[dict[str, Any]]) -> Path:
    """A shard whose run knew which one it was."""
    return shard(folder / str(number), results, shard=Shard(number=number, of=of))


def test_a_missing_shard_makes_the_report_incomplete_and_never_green(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = result("test_a", ONE, ONE)
    shards = [numbered(tmp_path, number, 4, [{**whole, "nodeid": f"t.py::{number}"}]) for number in (1, 2, 3, 4)]
    assert merge_reports(shards, tmp_path / "out").incomplete == []
    report = merge_reports([shards[0], shards[3]], tmp_path / "out")
    (entry,) = report.incomplete
    assert (entry.nodeid, entry.outcome, entry.message) == ("", "lost", "2 of 4 shards left no report: 2, 3")
    assert headline(report).word == "incomplete"
    assert report.shard is None
    assert main(["merge", str(shards[0]), "-o", str(tmp_path / "out")]) == 1
    assert "lost: the run: 3 of 4 shards left no report: 2, 3, 4" in capsys.readouterr().out
    assert main(["merge", *map(str, shards), "-o", str(tmp_path / "out")]) == 0


def test_how_many_shards_there_are_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = [shard(tmp_path / name, [result(f"test_{name}", ONE, ONE)]) for name in "ab"]
    typed = ["merge", *map(str, shards), "-o", str(tmp_path / "out")]
    assert main(typed) == 0
    assert main([*typed, "--shards", "2"]) == 0
    assert main([*typed, "--shards", "3"]) == 1
    assert "lost: the run: 1 of 3 shards left no report\n" in capsys.readouterr().out
    for wrong in ("0", "-1", "x", "1e9"):
        assert main([*typed, "--shards", wrong]) == 2
    assert "is no number of shards" in capsys.readouterr().err


def test_exports_that_several_shards_made_are_stated(tmp_path: Path) -> None:
    other = record([row("", "Other", {"Add": 1})], "Other")
    one = shard(tmp_path / "1", [result("test_a", ONE, ONE), result("test_c", ONE, ONE), result("test_o", other)])
    two = shard(tmp_path / "2", [result("test_b", ONE, ONE), result("test_s", other, shared_with="t.py::test_o")])
    (note,) = merge_reports([one, two], tmp_path / "out").notes
    assert note.startswith("1 export more than one shard seems to have made ")
    assert note.endswith("such as tests/test_models.py::test_a, tests/test_models.py::test_b")
    for more in ({"cached": True}, {"parity": None}, {"parity": {"measured": True, "outputs": [{"name": "y"}]}}):
        other_shard = shard(tmp_path / "3", [result("test_b", ONE, ONE, **more)])
        assert merge_reports([one, other_shard], tmp_path / "out").notes == [], more


def test_durations_are_written_for_pytest_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        result("test_a", ONE, ONE, seconds=2.5),
        result("test_a[second]", ONE, ONE, seconds=1.0, nodeid="tests/test_models.py::test_a"),
        result("test_b", ONE, ONE, seconds=3.0, shared_with="tests/test_models.py::test_a"),
        result("test_c", None, seconds=None),
    ]
    path = tmp_path / ".test_durations"
    path.write_text('{"tests/test_more.py::test_x": 7, "tests/test_models.py::test_a": 9}')
    typed = ["merge", str(shard(tmp_path / "1", results)), "-o", str(tmp_path / "out"), "--durations", str(path)]
    assert main(typed) == 0
    assert json.loads(path.read_text()) == {
        "tests/test_models.py::test_a": 3.5,
        "tests/test_models.py::test_b": 0.0,
        "tests/test_models.py::test_c": 0.0,
        "tests/test_more.py::test_x": 7,
    }
    path.write_text('["a"]')
    assert main(typed) == 2
    assert "holds no durations of pytest-split" in capsys.readouterr().err
