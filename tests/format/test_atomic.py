"""Texts that are moved into place whole; an ``OSError`` at every call is in ``tests/robustness``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_htp.format.atomic import AtomicFiles, write_text

OLD = "the old text"


def test_text_that_cant_be_encoded_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(OLD)
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_file_name_can_be_written(tmp_path: Path) -> None:
    with AtomicFiles() as files:
        files.stage(tmp_path / ("n" * 255), ["text"])
        files.commit()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["text"]


def test_staged_files_vanish_unless_committed(tmp_path: Path) -> None:
    with AtomicFiles() as files:
        files.stage(tmp_path / "a", ["text"])
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text(OLD)
    (tmp_path / "link").symlink_to(target)
    with AtomicFiles() as files:
        files.stage(tmp_path / "link", ["new"])
        files.commit()
    assert target.read_text() == OLD
    assert (tmp_path / "link").read_text() == "new"


def test_chunks_that_end_in_an_error_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text(OLD)

    def chunks() -> Iterator[str]:
        yield "half"
        raise KeyError("the writer's fault")

    with AtomicFiles() as files:
        with pytest.raises(KeyError):
            files.stage(path, chunks())
        files.commit()
    assert path.read_text() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_line_ends_stay_as_they_are_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "text"
    write_text(path, "a\r\nb\n\u20ac")
    assert path.read_bytes() == "a\r\nb\n\u20ac".encode()


def test_all_is_on_disk_before_the_old_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, calls = tmp_path / "baseline.json", []
    path.write_text(OLD)

    def synced(_: int) -> None:
        (temporary,) = (file for file in tmp_path.iterdir() if file != path)
        calls.append((path.read_text(), temporary.read_text()))

    monkeypatch.setattr(os, "fsync", synced)
    write_text(path, "new")
    assert calls == [(OLD, "new")]
    with AtomicFiles(durable=False) as files:
        files.stage(path, [b"newer", "\u20ac"])
        files.commit()
    assert path.read_text("utf-8") == "newer\u20ac"
    assert len(calls) == 1
