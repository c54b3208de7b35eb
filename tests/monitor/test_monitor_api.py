from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from rich.console import Console

from pytest_htp import (
    HTPExportData,
    HTPExportError,
    HTPExportMonitor,
    HTPExportStep,
    ModuleInfo,
    StepAwareWriter,
)
from pytest_htp.monitor.writer import handles

NAMES = {"metadata": "model_htp_metadata.json", "report": "model_htp_export_report.txt",
         "console": "model_htp_console.log"}  # fmt: skip


def quiet(folder: Path, **options: object) -> HTPExportMonitor:
    return HTPExportMonitor(folder / "model.onnx", verbose=False, **options)  # type: ignore[arg-type]


def test_the_seed_api_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export_data: HTPExportData,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monitor = HTPExportMonitor(
        output_path="model.onnx", model_name="bert-base", verbose=True,
        config={"max_tree_depth": 15, "max_display_nodes": 50, "style_numbers": True, "batch_console": True},
    )  # fmt: skip
    for step in HTPExportStep:
        monitor.log_step(step, export_data)
    assert capsys.readouterr().out == ""  # batch: nothing before the end
    assert monitor.console_writer.get_output() == monitor.get_console_output()
    assert monitor.metadata_writer.get_metadata() == monitor.get_metadata()
    assert monitor.report_writer.get_report() == monitor.get_report()
    paths = monitor.finalize()
    assert {kind: path.name for kind, path in paths.items()} == NAMES
    printed = capsys.readouterr().out
    assert printed == monitor.get_console_output()
    assert paths["console"].read_text("utf-8") == printed
    assert paths["report"].read_text("utf-8") == monitor.get_report()
    assert json.loads(paths["metadata"].read_bytes()) == monitor.get_metadata()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES.values())
    assert monitor.get_metadata()["model"]["name"] == "bert-base"


def test_nothing_is_written_before_finalize_nor_by_garbage_collection(
    tmp_path: Path, export_data: HTPExportData
) -> None:
    monitor = quiet(tmp_path)
    monitor.log_step(HTPExportStep.MODEL_PREP, export_data)
    monitor.get_metadata(), monitor.get_report(), monitor.get_console_output()
    del monitor
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert "__del__" not in vars(HTPExportMonitor)


def test_finalize_without_any_step_makes_the_folder_and_claims_nothing(tmp_path: Path) -> None:
    monitor = quiet(tmp_path / "new" / "folder")
    paths = monitor.finalize()
    metadata = json.loads(paths["metadata"].read_bytes())
    assert metadata["status"] == "incomplete"
    assert metadata["steps"] == {}
    assert metadata["model"] == {"name": None, "class": None, "modules": None, "parameters": None}
    assert metadata["total_nodes"] is None
    assert metadata["tagging"] == {"tagging_stats": None}
    assert paths["report"].read_text().count("not reached") == 8


def test_finalize_is_idempotent_and_writes_again_after_news(tmp_path: Path) -> None:
    monitor = quiet(tmp_path)
    monitor.log_step(HTPExportStep.MODEL_PREP)
    first = monitor.finalize()
    stamps = {path: path.stat().st_mtime_ns for path in first.values()}
    log = monitor.get_console_output()
    assert monitor.finalize() == first
    assert {path: path.stat().st_mtime_ns for path in first.values()} == stamps
    assert monitor.get_console_output() == log
    monitor.log_step(HTPExportStep.INPUT_GEN)
    monitor.finalize()
    assert "input_generation" in json.loads(first["metadata"].read_bytes())["steps"]


def test_mappings_are_merged_and_whole_data_replaces(tmp_path: Path) -> None:
    monitor = quiet(tmp_path, model_name="bert")
    monitor.log_step(HTPExportStep.MODEL_PREP, {"model_class": "Bert", "total_modules": 3})
    monitor.log_step(HTPExportStep.HIERARCHY, {"hierarchy": {"": ModuleInfo("", "Bert")}})
    assert (monitor.data.model_class, monitor.data.total_modules) == ("Bert", 3)
    monitor.log_step(HTPExportStep.TRACE, HTPExportData(total_nodes=5))
    assert (monitor.data.model_class, monitor.data.total_nodes) == ("", 5)
    assert monitor.data.model_name == "bert"  # given to the monitor, and nothing else is known
    assert monitor.data.output_path.endswith("model.onnx")
    assert list(monitor.data.steps) == ["model_preparation", "hierarchy_building", "model_tracing"]


@pytest.mark.parametrize("data", [HTPExportData(model_name="other"), {"model_name": "other"}, {"model_name": ""}])
def test_the_name_given_to_the_monitor_is_shown(tmp_path: Path, data: HTPExportData | dict[str, str]) -> None:
    monitor = quiet(tmp_path, model_name="bert")
    monitor.log_step(HTPExportStep.MODEL_PREP, data)
    assert monitor.get_metadata()["model"]["name"] == "bert"
    assert "bert" in monitor.get_console_output()
    assert "Export report: bert" in monitor.get_report()
    nameless = quiet(tmp_path)
    nameless.log_step(HTPExportStep.MODEL_PREP, HTPExportData(model_name="other"))
    assert nameless.get_metadata()["model"]["name"] == "other"


def test_seconds_appear_only_where_the_caller_measured_them(tmp_path: Path) -> None:
    monitor = quiet(tmp_path)
    monitor.log_step(HTPExportStep.MODEL_PREP)
    monitor.log_step(HTPExportStep.INPUT_GEN, {"steps": {"input_generation": {"status": "skipped", "seconds": 0.25}}})
    assert monitor.get_metadata()["steps"] == {
        "model_preparation": {"status": "completed"},
        "input_generation": {"status": "skipped", "seconds": 0.25},
    }
    assert " in " not in monitor.get_console_output().split("STEP 2/8")[0]
    assert "skipped in 0.25 s" in monitor.get_console_output()


def test_the_caller_s_data_is_never_changed(tmp_path: Path) -> None:
    data = HTPExportData()
    fields = {"errors": [], "steps": {}}  # type: ignore[var-annotated]
    monitor = quiet(tmp_path, model_name="m")
    monitor.log_step(HTPExportStep.MODEL_PREP, data)
    monitor.log_step(HTPExportStep.TRACE, fields)
    monitor.log_error(HTPExportStep.EXPORT, ValueError("x"))
    assert data == HTPExportData()
    assert fields == {"errors": [], "steps": {}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nodes": 3}, "no field 'nodes'; known: model_name, .*tagged_nodes"),
        ({"hierarchy": []}, "'hierarchy' of HTPExportData must be dict"),
        ({"hierarchy": {"": {"class_name": "A"}}}, "'hierarchy'"),
        ({"total_nodes": "5"}, "'total_nodes' of HTPExportData must be int, got str"),
        ({"coverage": "full"}, "'coverage'"),
        ({"steps": {"model_tracing": "completed"}}, "'steps'"),
        ({"errors": ["boom"]}, "'errors'"),
        ({"model_name": None}, "'model_name' of HTPExportData must be str"),
        (5, "an HTPExportData, a mapping of some of its fields, or None"),
    ],
)
def test_data_that_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path, data: object, message: str) -> None:
    monitor = quiet(tmp_path)
    with pytest.raises(ValueError, match=message):
        monitor.log_step(HTPExportStep.TRACE, data)  # type: ignore[arg-type]
    assert monitor.data.steps == {}


@pytest.mark.parametrize("step", ["model_tracing", 4, None])
def test_log_step_takes_steps_only(tmp_path: Path, step: object) -> None:
    with pytest.raises(ValueError, match=r"HTPExportStep\.MODEL_PREP"):
        quiet(tmp_path).log_step(step, None)  # type: ignore[arg-type]


def test_an_error_is_recorded_and_later_steps_are_not_claimed(
    tmp_path: Path, new_data: Callable[..., HTPExportData]
) -> None:
    data = new_data()
    data.steps = {}
    data.errors = [{"step": "model_tracing", "type": "RuntimeError", "message": "boom"}]
    monitor = quiet(tmp_path)
    for step in list(HTPExportStep)[:3]:
        monitor.log_step(step, {"hierarchy": data.hierarchy})
    monitor.log_error(HTPExportStep.TRACE, RuntimeError("boom"))
    monitor.log_error(HTPExportStep.TRACE, RuntimeError("boom"))
    metadata = monitor.get_metadata()
    assert metadata["errors"] == data.errors
    assert metadata["status"] == "failed"
    assert {name: entry["status"] for name, entry in metadata["steps"].items()} == {
        "model_preparation": "completed", "input_generation": "completed",
        "hierarchy_building": "completed", "model_tracing": "failed",
    }  # fmt: skip
    report, log = monitor.get_report(), monitor.get_console_output()
    assert "Result: failed at step 4/8, model tracing" in report
    assert "4/8 model_tracing        FAILED" in report
    assert report.count("not reached") == 4
    assert "✓" not in report
    assert log.count("✓") == 3
    assert log.count("RuntimeError: boom") == 1
    monitor.finalize()
    assert monitor.get_console_output().count("not reached") == 4


def test_a_failed_step_stays_failed_when_later_data_does_not_mention_it(tmp_path: Path) -> None:
    monitor = quiet(tmp_path)
    monitor.log_error(HTPExportStep.TRACE, "no reason")
    monitor.log_step(HTPExportStep.COMPLETE, HTPExportData())
    assert monitor.get_metadata()["steps"]["model_tracing"] == {"status": "failed"}
    assert monitor.get_metadata()["errors"][0]["message"] == "no reason"


def test_leaving_by_an_exception_records_it_then_finalizes(tmp_path: Path) -> None:
    with pytest.raises(KeyError), quiet(tmp_path) as monitor:  # noqa: PT012
        monitor.log_step(HTPExportStep.MODEL_PREP)
        raise KeyError("lost")
    metadata = json.loads((tmp_path / NAMES["metadata"]).read_bytes())
    assert metadata["errors"] == [{"step": None, "type": "KeyError", "message": "'lost'"}]
    assert metadata["status"] == "failed"


def test_the_exception_belongs_to_the_step_that_was_begun(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), quiet(tmp_path) as monitor:  # noqa: PT012
        monitor.begin_step(HTPExportStep.MODEL_PREP)
        monitor.log_step(HTPExportStep.MODEL_PREP)
        monitor.begin_step(HTPExportStep.TRACE)
        raise KeyboardInterrupt
    metadata = json.loads((tmp_path / NAMES["metadata"]).read_bytes())
    assert metadata["errors"][0]["step"] == "model_tracing"
    assert metadata["steps"]["model_tracing"]["status"] == "failed"


def test_an_error_logged_before_is_not_recorded_twice_on_the_way_out(tmp_path: Path) -> None:
    cause = RuntimeError("boom")
    with pytest.raises(RuntimeError), quiet(tmp_path) as plain:  # noqa: PT012
        plain.log_error(HTPExportStep.TRACE, cause)
        raise cause
    assert len(plain.get_metadata()["errors"]) == 1
    wrapped = HTPExportError("step 4 failed", step=HTPExportStep.TRACE, cause=cause, data=HTPExportData())
    with pytest.raises(HTPExportError), quiet(tmp_path) as logged:  # noqa: PT012
        logged.log_error(HTPExportStep.TRACE, cause)
        raise wrapped
    assert len(logged.get_metadata()["errors"]) == 1
    with pytest.raises(HTPExportError), quiet(tmp_path) as unlogged:
        raise wrapped
    assert unlogged.get_metadata()["errors"] == [
        {"step": "model_tracing", "type": "RuntimeError", "message": "step 4 failed"}
    ]


class Raising(StepAwareWriter):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    @handles(*HTPExportStep)
    def fail(self, step: HTPExportStep, data: HTPExportData) -> None:
        self.calls += 1
        raise RuntimeError("my bug")


class Listening(StepAwareWriter):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[HTPExportStep] = []

    @handles(*HTPExportStep)
    def note(self, step: HTPExportStep, data: HTPExportData) -> None:
        self.steps.append(step)


def test_a_raising_writer_is_reported_once_and_isolated(tmp_path: Path) -> None:
    monitor = quiet(tmp_path)
    raising = monitor.add_writer(Raising())
    listening = monitor.add_writer(Listening())
    for step in HTPExportStep:
        monitor.log_step(step)
    monitor.finalize()
    assert isinstance(raising, Raising)
    assert raising.calls == 1
    assert isinstance(listening, Listening)
    assert listening.steps == list(HTPExportStep)
    log = monitor.get_console_output()
    assert log.count("my bug") == 1
    assert "WRITER Raising SWITCHED OFF" in log
    metadata = monitor.get_metadata()
    assert [error["writer"] for error in metadata["errors"]] == ["Raising"]
    assert metadata["status"] == "completed"  # the export itself went well


@pytest.mark.parametrize("broken", ["console_writer", "metadata_writer", "report_writer"])
def test_a_broken_built_in_writer_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monitor = quiet(tmp_path)
    monkeypatch.setattr(getattr(monitor, broken), "write", Raising().fail)
    monitor.log_step(HTPExportStep.TRACE, {"total_nodes": 3})
    paths = monitor.finalize()
    assert sorted(paths) == ["console", "metadata", "report"]
    assert json.loads(paths["metadata"].read_bytes())["total_nodes"] == 3
    assert "my bug" in paths["report"].read_text()


def test_only_writers_can_be_added(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="StepAwareWriter"):
        quiet(tmp_path).add_writer(print)  # type: ignore[arg-type]


def test_verbose_false_prints_nothing_and_logs_everything(
    tmp_path: Path, export_data: HTPExportData, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    monitor = quiet(tmp_path, console=Console(file=stream))
    for step in HTPExportStep:
        monitor.log_step(step, export_data)
    monitor.finalize()
    assert stream.getvalue() == ""
    assert capfd.readouterr() == ("", "")
    assert all(f"STEP {number}/8" in monitor.get_console_output() for number in range(1, 9))


def test_messages_do_not_name_the_home_folder(tmp_path: Path) -> None:
    monitor = quiet(tmp_path)
    monitor.log_error(None, OSError(f"can't read {Path.home()}/secret/model.bin"))
    assert str(Path.home()) not in json.dumps(monitor.get_metadata())
    assert "~/secret/model.bin" in monitor.get_report()


def test_notes_of_a_step_are_shown_short_and_kept_whole(tmp_path: Path) -> None:
    notes = [f"UserWarning: {number} {'w' * 200}" for number in range(4)] + [f"{Path.home()}/model.py"]
    entry = {"status": "completed", "seconds": 0.5, "notes": notes}
    monitor = quiet(tmp_path)
    monitor.log_step(HTPExportStep.TRACE, {"steps": {"model_tracing": entry}})
    kept = [*notes[:4], "~/model.py"]
    assert monitor.get_metadata()["steps"]["model_tracing"]["notes"] == kept
    assert all(f"      {note}\n" in monitor.get_report() for note in kept)
    log = monitor.get_console_output()
    assert log.count("  note ") == 3
    assert "2 more notes in the report" in log
    assert entry["notes"] is notes


def test_a_step_that_never_ran_has_no_time(tmp_path: Path) -> None:
    monitor = quiet(tmp_path)
    monitor.log_step(HTPExportStep.SAVE, {"steps": {"model_save": {"status": "skipped", "seconds": 0.0}}})
    assert "0.00 s" not in monitor.get_report() + monitor.get_console_output()
    assert "○ skipped\n" in monitor.get_console_output()


def test_output_goes_to_the_terminal_while_standard_output_is_redirected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = HTPExportMonitor(tmp_path / "model.onnx")
    with redirect_stdout(io.StringIO()) as elsewhere:
        monitor.log_step(HTPExportStep.MODEL_PREP)
    assert elsewhere.getvalue() == ""
    assert "STEP 1/8" in capsys.readouterr().out


def test_importing_the_monitor_is_cheap() -> None:
    heavy = ("rich", "torch", "onnx", "numpy", "transformers", "onnxruntime", "jinja2")
    code = f"import sys, pytest_htp.monitor; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
