from __future__ import annotations

import io
import os
import pty
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_htp import HTPExportMonitor, HTPExportStep
from pytest_htp.monitor.live import LiveProgress


class Terminal:
    """A real pseudo-terminal; what is drawn on it is collected."""

    def __init__(self) -> None:
        self._main, side = pty.openpty()
        self.stream = os.fdopen(side, "w", encoding="utf-8")
        self._seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._main, 4096)
            except OSError:  # the other side is closed
                return
            if not chunk:
                return
            self._seen += chunk

    def wait_for(self, text: str, seconds: float = 10) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.text():
                return True
            time.sleep(0.01)
        return False

    def text(self) -> str:
        return self._seen.decode("utf-8", "replace")

    def close(self) -> str:
        self.stream.close()
        self._reader.join(5)
        os.close(self._main)
        return self.text()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    yield terminal
    if not terminal.stream.closed:
        terminal.close()


def ended(threads: int) -> bool:
    """Whether the drawing thread ends; rich tells it to, and doesn't wait for it."""
    end = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < end:
        time.sleep(0.01)
    return threading.active_count() == threads


def test_the_line_names_step_model_and_elapsed_time() -> None:
    now = [100.0]
    live = LiveProgress("bert", stream=io.StringIO(), clock=lambda: now[0])
    live.start()
    live.update(HTPExportStep.TRACE)
    now[0] += 12.2
    assert live.line() == "step 4/8 model tracing | bert | 12 s"  # a stream without encoding: plain characters
    live.update(HTPExportStep.TRACE, "gpt2")
    assert live.line() == "step 4/8 model tracing | gpt2 | 12 s"  # the same step goes on
    live.update(HTPExportStep.SAVE)
    assert live.line() == "step 7/8 model save | gpt2 | 0 s"
    live.model_name = "\x1b[31m[bold]" + "x" * 5000
    assert len(live.line()) <= 79
    assert "\x1b" not in live.line()


def test_it_draws_on_a_terminal_and_takes_the_line_away(terminal: Terminal) -> None:
    threads = threading.active_count()
    live = LiveProgress("bert[bold]", stream=terminal.stream)
    live.start()
    live.start()
    assert live.running
    assert terminal.wait_for("step 1/8 model preparation · bert[bold] · ")
    live.update(HTPExportStep.EXPORT)
    assert terminal.wait_for("step 5/8 onnx export · bert[bold] · ")
    live.stop()
    live.stop()
    assert not live.running
    assert ended(threads)
    live.update(HTPExportStep.SAVE)
    drawn = terminal.close()
    assert "step 7/8" not in drawn
    assert drawn.endswith("\x1b[2K")  # the line is erased
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1  # and the cursor shown again


def test_pytest_s_progress_line_is_left_as_it_was(terminal: Terminal) -> None:
    terminal.stream.write("tests/test_m.py ..")
    live = LiveProgress("bert", stream=terminal.stream, column=lambda: 18)
    live.start()
    assert terminal.wait_for("step 1/8")
    live.stop()
    terminal.stream.write(".")
    drawn = terminal.close()
    assert drawn.startswith("tests/test_m.py ..\r\n")
    assert re.search(r"\x1b\[2K\x1b\[1A\x1b\[19G\.$", drawn)


@pytest.mark.parametrize("reason", ["no terminal", "CI", "dumb terminal", "closed", "broken"])
def test_it_is_silent_where_it_should_be(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    stream: io.TextIOBase = io.StringIO()
    if reason == "CI":
        monkeypatch.setenv("CI", "true")
    elif reason == "dumb terminal":
        monkeypatch.setenv("TERM", "dumb")
    elif reason == "closed":
        stream.close()
    elif reason == "broken":
        stream = _Broken()
    if reason in ("CI", "dumb terminal"):
        stream = terminal.stream  # type: ignore[assignment]
    with LiveProgress("bert", stream=stream) as live:  # type: ignore[arg-type]
        live.update(HTPExportStep.TRACE)
        time.sleep(0.05)
    assert not live.running
    if isinstance(stream, io.StringIO) and not stream.closed:
        assert stream.getvalue() == ""
    assert terminal.close() == ""


class _Broken(io.StringIO):
    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise OSError("gone")


def test_leaving_by_an_exception_takes_the_line_away(terminal: Terminal) -> None:
    with pytest.raises(KeyError), LiveProgress(stream=terminal.stream) as live:
        raise KeyError
    assert not live.running


def test_it_follows_a_monitor_s_steps(terminal: Terminal, tmp_path: Path) -> None:
    monitor = HTPExportMonitor(tmp_path / "model.onnx", "bert", verbose=False)
    live = LiveProgress(stream=terminal.stream)
    monitor.add_writer(live)
    live.start()
    monitor.log_step(HTPExportStep.MODEL_PREP)
    assert "step 2/8 input generation · bert" in live.line()
    monitor.begin_step(HTPExportStep.TRACE)
    assert "step 4/8 model tracing" in live.line()
    for step in HTPExportStep:
        assert live.running
        monitor.log_step(step)
    assert not live.running


@pytest.mark.parametrize("end", ["error", "finalize"])
def test_an_error_or_the_end_stops_it(terminal: Terminal, tmp_path: Path, end: str) -> None:
    monitor = HTPExportMonitor(tmp_path / "model.onnx", verbose=False)
    live = LiveProgress(stream=terminal.stream)
    monitor.add_writer(live)
    live.start()
    monitor.log_step(HTPExportStep.MODEL_PREP)
    assert live.running
    if end == "error":
        monitor.log_error(HTPExportStep.TRACE, RuntimeError("boom"))
    else:
        monitor.finalize()
    assert not live.running
