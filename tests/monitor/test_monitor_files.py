"""Files are whole or as they were, whatever fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_htp import HTPExportMonitor, HTPExportStep

OLD = "the old text"
NAMES = ("model_htp_metadata.json", "model_htp_export_report.txt", "model_htp_console.log")


@pytest.fixture
def monitor(tmp_path: Path) -> HTPExportMonitor:
    for name in NAMES:
        (tmp_path / name).write_text(OLD)
    monitor = HTPExportMonitor(tmp_path / "model.onnx", verbose=False)
    monitor.log_step(HTPExportStep.MODEL_PREP, {"model_class": "Bert"})
    return monitor


@pytest.mark.parametrize("failing_write", [1, 2, 3])
def test_a_full_disk_changes_nothing(
    tmp_path: Path, monitor: HTPExportMonitor, monkeypatch: pytest.MonkeyPatch, failing_write: int
) -> None:
    real_open, opened = Path.open, []

    class FullDisk:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __enter__(self) -> FullDisk:
            return self

        def __exit__(self, *error: object) -> None:
            self.stream.close()

        def write(self, chunk: str) -> None:
            self.stream.write(chunk[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

    def fault(self: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(self)
        stream = real_open(self, *args, **kwargs)
        return FullDisk(stream) if len(opened) == failing_write else stream

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", fault)
        with pytest.raises(OSError, match="No space left on device; free the folder, or choose another"):
            monitor.finalize()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(NAMES, OLD)
    monitor.finalize()
    assert all((tmp_path / name).read_text() != OLD for name in NAMES)


@pytest.mark.parametrize("failing_move", [1, 2, 3])
def test_a_failing_move_leaves_each_file_old_or_new_and_no_other(
    tmp_path: Path, monitor: HTPExportMonitor, monkeypatch: pytest.MonkeyPatch, failing_move: int
) -> None:
    real, moves = os.replace, []

    def fault(source: Path, target: Path) -> None:
        moves.append(target)
        if len(moves) == failing_move:
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fault)
        with pytest.raises(OSError, match="Input/output error"):
            monitor.finalize()
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(texts) == sorted(NAMES)
    assert sum(text != OLD for text in texts.values()) == failing_move - 1
    assert all(text == OLD or text.endswith("\n") for text in texts.values())


def test_a_folder_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).mkdir()
    monitor = HTPExportMonitor(tmp_path / "model.onnx", verbose=False)
    with pytest.raises(OSError, match="is a folder"):
        monitor.finalize()
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[0]]


def test_a_parent_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monitor = HTPExportMonitor(tmp_path / "file" / "model.onnx", verbose=False)
    with pytest.raises(OSError, match="can't write the export's metadata, report and console log"):
        monitor.finalize()


def test_a_failed_write_does_not_hide_the_exception_under_way(tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).mkdir()
    with pytest.raises(KeyError) as caught, HTPExportMonitor(tmp_path / "model.onnx", verbose=False):
        raise KeyError("the cause")
    assert "is a folder" in caught.value.__notes__[0]
