"""Forked processes behave as new ones do, where tests rely on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import htp_warm
import pytest

TELL = """
import json, os, sys
print(json.dumps({"cwd": os.getcwd(), "x": os.environ.get("X"), "argv": sys.argv, "first": sys.path[0],
                  "own": "pytest_htp" in sys.modules or "_pytest" in sys.modules, "torch": "torch" in sys.modules,
                  "name": __name__, "hash": sys.flags.hash_randomization, "pid": os.getpid(), "in": sys.stdin.read()}))
"""


@pytest.mark.parametrize("kind", ["-c", "script"])
def test_it_is_a_process_of_its_own(tmp_path: Path, kind: str) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    told = []
    for interpreter in (htp_warm.python(), sys.executable):
        done = subprocess.run(
            [interpreter, *(["-c", TELL] if kind == "-c" else [str(tmp_path / "tell.py")]), "a", "b"],
            cwd=tmp_path,
            env={**os.environ, "X": "1"},
            input="given",
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(json.loads(done.stdout))
    forked, new = told
    assert forked.pop("pid") != new.pop("pid")
    assert (forked.pop("torch"), new.pop("torch")) == (True, False)
    assert forked == new
    assert forked["own"] is False


def test_it_ends_as_it_would(tmp_path: Path) -> None:
    def run(code: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [htp_warm.python(), "-c", code]
        return subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=False)

    assert run("import sys; sys.exit(3)").returncode == 3
    failed = run("raise ValueError('so')")
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, "ValueError: so")
    assert run("import os; os.kill(os.getpid(), 9)").returncode == -signal.SIGKILL
    assert run("import sys; print('torch' in sys.modules)", PYTHONHASHSEED="1").stdout == "False\n"


def test_one_that_is_killed_leaves_no_lock_behind() -> None:
    """The exporter's progress takes tqdm's lock, which is one of all processes unless somebody sees to it."""

    def take(then: str) -> int:
        code = f"import os; from tqdm import tqdm; tqdm.get_lock().acquire(); {then}"
        return subprocess.run([htp_warm.python(), "-c", code], check=False, timeout=60).returncode

    assert take("os.kill(os.getpid(), 9)") == -signal.SIGKILL
    assert take("pass") == 0


def test_it_ends_with_its_caller(tmp_path: Path) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
    with subprocess.Popen([htp_warm.python(), "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        forked = int(process.stdout.readline())
        process.kill()
    for _ in range(100):
        if not Path(f"/proc/{forked}").exists():
            return
        time.sleep(0.05)
    raise AssertionError("it is still there")
