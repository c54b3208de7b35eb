"""An ``OSError`` at every write call of a baseline: the old file whole, nothing else left, one message."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from htp_examples import change_the_model, recorded

from pytest_htp.format.atomic import write_text

OLD, NEW = "old\n", "new\n" * 1000
CODES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO]


@contextmanager
def failing(call: str, code: int, below: Path) -> Iterator[list[str]]:
    """Make a call fail for paths below a folder, and for files of it that are open; yields what was refused."""
    refused: list[str] = []
    patch = pytest.MonkeyPatch()
    real_open = Path.open

    def refuse(*args: Any) -> Any:
        refused.append(call)
        raise OSError(code, os.strerror(code))

    def is_ours(path: str | os.PathLike[str] | int) -> bool:
        if isinstance(path, int):  # an open file, by the one that is there under its name
            return any(os.path.samestat(os.fstat(path), file.stat()) for file in below.rglob("*"))
        return below in Path(os.fspath(path)).parents

    def wrap(real: Any) -> Any:
        return lambda *args, **kwargs: refuse() if is_ours(args[0]) else real(*args, **kwargs)

    if call == "open":
        patch.setattr(
            Path,
            "open",
            lambda self, mode="r", *a, **k: (
                refuse() if "r" not in mode and is_ours(self) else real_open(self, mode, *a, **k)
            ),
        )
    elif call == "write":

        class Full:
            def __init__(self, stream: Any) -> None:
                self.stream = stream

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *args: object) -> None:
                self.stream.close()

            def __getattr__(self, name: str) -> Any:
                return refuse if name == "write" else getattr(self.stream, name)

        def half_full(self: Path, mode: str = "r", *a: Any, **k: Any) -> Any:
            stream = real_open(self, mode, *a, **k)
            return Full(stream) if "r" not in mode and is_ours(self) else stream

        patch.setattr(Path, "open", half_full)
    else:
        patch.setattr(os, call, wrap(getattr(os, call)))
    try:
        yield refused
    finally:
        patch.undo()


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_failing_call_leaves_the_old_file_and_nothing_else(tmp_path: Path, call: str, code: int) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(OLD)
    with failing(call, code, tmp_path) as refused, pytest.raises(OSError, match=os.strerror(code)):
        write_text(path, NEW)
    assert refused
    assert path.read_text() == OLD
    assert list(tmp_path.iterdir()) == [path]
    write_text(path, NEW)
    assert path.read_text() == NEW


def test_what_killed_runs_left_is_swept(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    (name,) = example.baseline_paths
    folder = (example.folder / name).parent
    old, young = folder / ".htp-01234567", folder / ".htp-89abcdef"
    for file in (old, young):
        file.write_text("half a basel")
    os.utime(old, (0, 0))
    change_the_model(example)
    example.run_pytest("--snapshot-update", report=False, outcomes={"passed": 1})
    assert not old.exists()
    assert young.exists(), "it may belong to a run that is writing now"


def test_a_run_says_so_in_one_line_and_fails(tmp_path: Path) -> None:
    """The whole plugin: every call in turn, on a run that changes one baseline and creates another. No test fails for
    it, the run does, as where a report can't be written."""
    example = recorded(tmp_path)
    (name,) = example.baseline_paths
    old = example.read(name)
    change_the_model(example)
    example.write({"test_new.py": example.read("test_net.py")})
    baselines = example.folder / "__htp_baselines__"
    for call, broken in (("mkdir", 1), ("fsync", 2), ("replace", 2), ("open", 2)):
        with failing(call, errno.ENOSPC, baselines) as refused:
            run = example.run_pytest("--snapshot-update", report=False)
        assert refused, call
        assert run.outcomes.get("passed") == 2, (call, run.stdout)
        assert run.returncode == 1, (call, run.stdout)
        assert run.stdout.count("can't be written (No space left on device)") == 1, (call, run.stdout)
        assert ("2 baselines, " in run.stdout) == (broken == 2), (call, run.stdout)
        assert "Traceback" not in run.stdout + run.stderr, call
        if call == "mkdir":  # the folder of the other baseline was there
            assert run.touched_files == [name], call
            example.write({name: old})
        assert run.touched_files in ([], [name]), call
        assert example.read(name) == old, call
    assert not list(baselines.rglob(".htp-*"))
    example.run_pytest("--snapshot-update", report=False, outcomes={"passed": 2})
