"""Runs a compiler in a process of its own: a crash, a hang or its output stays there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pytest_htp.targets.messages import CompileAnswer, CompileRequest

MAX_LOG = 200_000
"""Characters of a compiler's output that are kept: the last ones, where it says why it stopped."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Compilation:
    """An answer, and what was seen of the process.

    Attributes:
        seconds: from the start of the process to its end.
        log: what it printed, without colours.
        timed_out: whether it was stopped at the time limit.
    """

    answer: CompileAnswer
    seconds: float
    log: str
    timed_out: bool = False


def compile_apart(request: CompileRequest, timeout: float) -> Compilation:
    """Compile in a process of its own.

    Args:
        request: file, target and options.
        timeout: seconds until it is stopped, 0 for no limit.

    Returns:
        the answer; of a process that crashed or was stopped one that says so.
    """
    search = [folder or os.getcwd() for folder in sys.path]  # noqa: PTH109
    request = msgspec.structs.replace(request, search=search, timeout=timeout)
    with tempfile.TemporaryDirectory(prefix="htp-target-") as name:
        folder = Path(name)
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        started = time.perf_counter()
        code = _run(folder, timeout)
        seconds = time.perf_counter() - started
        log = _COLOUR.sub("", (folder / "log").read_text("utf-8", "replace"))[-MAX_LOG:]
        answer = _answer(folder / "answer.json")
        if answer is None:
            answer = CompileAnswer(outcome="failed", device="", message=_ended(code, timeout, log))
    return Compilation(answer, seconds, log, timed_out=code is None)


def _answer(file: Path) -> CompileAnswer | None:
    """None of a process that ended before it had written the whole of it."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=CompileAnswer)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _run(folder: Path, timeout: float) -> int | None:
    """The process's exit code, None where it was stopped."""
    command = [sys.executable, "-m", "pytest_htp.targets.worker", str(folder / "request.json"), "answer.json"]
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # Compilers write files (dumps, traces) into the working directory: into one that goes away with them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout or None)
        except subprocess.TimeoutExpired:
            return None
        finally:  # an interrupt of the tests ends it as well, with what it started
            if process.poll() is None:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _ended(code: int | None, timeout: float, log: str) -> str:
    said = last_line(log)
    tail = f"; its last words: {said}" if said else ""
    if code is None:
        return f"the compiler did not finish within {timeout:g} s (htp_target_timeout) and was stopped{tail}"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        killed = ", as the system does where memory runs out" if name == "SIGKILL" else ""
        return f"the compiler's process died of {name}{killed}{tail}"
    return f"the compiler's process ended with exit code {code} and no answer{tail}"


def last_line(log: str) -> str:
    """The last line of a log that holds words, at most 500 characters."""
    lines = [line.strip() for line in log.splitlines() if any(char.isalnum() for char in line)]
    return lines[-1][:500] if lines else ""
