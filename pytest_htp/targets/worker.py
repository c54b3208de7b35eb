"""``python -m pytest_htp.targets.worker REQUEST ANSWER``: compiles in this process, which may not survive it."""

from __future__ import annotations

import math
import signal
import sys
from importlib import import_module
from pathlib import Path

import msgspec

from pytest_htp.errors import HTPUsageError
from pytest_htp.targets.messages import CompileAnswer, CompileRequest

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h: the signal that this process gets when the one that started it ends
_GRACE = 10  # seconds beyond the limit, which the waiting process enforces and reports


def main(request_file: str, answer_file: str) -> None:
    """Read a request, compile, write the answer; a crash leaves none."""
    request = msgspec.json.decode(Path(request_file).read_bytes(), type=CompileRequest)
    _end_in_time(request.timeout)
    sys.path += [folder for folder in request.search if folder not in sys.path]
    answer = _compiled(request)
    answer = msgspec.structs.replace(answer, memory=_peak_memory())
    Path(answer_file).write_bytes(msgspec.json.encode(answer))


def _end_in_time(seconds: float) -> None:
    """Who waits for this process may be killed first; a compiler that hangs would stay for ever."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if seconds and hasattr(signal, "alarm"):
        signal.alarm(math.ceil(seconds) + _GRACE)


def _compiled(request: CompileRequest) -> CompileAnswer:
    module, _, function = request.compiler.partition(":")
    try:
        answer = getattr(import_module(module), function)(request)
    except (HTPUsageError, ImportError, AttributeError) as error:
        return CompileAnswer(outcome="refused", device="", message=str(error))
    if not isinstance(answer, CompileAnswer):
        message = f"the compiler {request.compiler} must return a CompileAnswer, got {type(answer).__name__}"
        return CompileAnswer(outcome="refused", device="", message=message)
    return answer


def _peak_memory() -> float | None:
    """MiB, by Linux's /proc: getrusage begins with the peak of the process that started this one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    for line in status.read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
