"""Processes of their own without the 4 to 8 seconds in which Python loads torch: forked from one that has.

    done = subprocess.run([htp_warm.python(), "-c", code], ...)

:func:`python` is an interpreter for ``-c``, ``-m`` and scripts. Each call of it is a process with its own modules,
working directory, environment and streams; torch, onnx and onnxscript are loaded in it, pytest and pytest_htp are
not. Where that would prove something else than a new interpreter does (``PYTHONHASHSEED``, other settings that
are read at start), it becomes the real one by itself; a test of what gets imported takes ``sys.executable``.

The xdist workers of examples (``example.run_pytest("-n", "2")``) start this way: see ``tests/conftest.py``. One server
serves all workers of a test run, and ends with it.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
import types
from collections.abc import Mapping
from pathlib import Path

# Variables that interpreters and libraries read when they start: with others than the server's, no fork. The exceptions
# can be followed later, or don't matter: there is one thread for computing in any case.
_READ_AT_START = ("PYTHON", "OMP_", "MKL_", "OPENBLAS_", "TORCH", "PYTORCH", "LD_", "MALLOC_")
_APPLIED_LATER = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "OMP_NUM_THREADS")
_OPTIONS = ("-u", "-B")


# Whom the server ends with: all workers of a run have one. Told at once, a run in this process hides the variable.
_OWNER = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def python() -> str:
    """Path of the interpreter; starts the server at the first call of a test run."""
    try:
        os.close(os.pidfd_open(_OWNER))
    except (AttributeError, OSError):  # not Linux, or a sandbox
        return sys.executable
    started = Path(f"/proc/{_OWNER}/stat").read_text().rpartition(")")[2].split()[19]  # tells it from one before it
    folder = Path(tempfile.gettempdir()) / f"htp-warm-{_OWNER}-{started}"
    client = folder / "python"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _wait_for(folder)
    else:
        _start(folder, _OWNER)
    return str(client)


def _start(folder: Path, owner: int) -> None:
    log = str(folder / "log")
    server = os.posix_spawn(
        sys.executable,
        [sys.executable, str(Path(__file__).resolve()), str(folder), str(owner)],
        {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    _wait_for(folder, server)


def _wait_for(folder: Path, server: int = 0) -> None:
    until = time.monotonic() + 180
    while not (folder / "python").exists():
        if time.monotonic() > until or (server and os.waitpid(server, os.WNOHANG)[0]):
            raise RuntimeError(f"no server of forked processes:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)


# The rest runs in other processes: the server, its children, and (as a copy of this file's _CLIENT) the interpreter.

_CLIENT = """\
import json, os, signal, socket, sys
REAL, SERVER, AT_START, LATER, OPTIONS = json.loads({settings!r})
given = sys.argv[1:]
rest = list(given)
while rest and rest[0] in OPTIONS:
    rest.pop(0)
here = dict(os.environ)
def at_start(env):
    return {{name: value for name, value in env.items() if name.startswith(tuple(AT_START)) and name not in LATER}}
fork = rest and (rest[0] in ("-c", "-m") or not rest[0].startswith("-")) and at_start(here) == at_start({env!r})
if not fork:
    os.execv(REAL, [REAL, *given])
channel = socket.socket(socket.AF_UNIX)
try:
    channel.connect(SERVER)
except OSError:  # the test run has ended
    os.execv(REAL, [REAL, *given])
message = json.dumps([rest, here, os.getcwd()]).encode()
socket.send_fds(channel, [len(message).to_bytes(8, "big")], [0, 1, 2])
channel.sendall(message)
for stream in (0, 1, 2):
    os.close(stream)
status = channel.recv(16)
if not status:
    os._exit(70)
code = int(status)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


def _load() -> None:
    """What an export loads, by one.

    Threads don't survive a fork, so there must be none: torch computes in the main one, tqdm (the exporter's progress)
    gets none to watch from, and onnxruntime, which starts one when it is imported, is left out. Nor may there be a lock
    that forks share, as tqdm's would be: who is killed while holding it would leave all others waiting for ever.
    """
    import onnx
    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())
    tqdm.monitor_interval, interval = 0, tqdm.monitor_interval
    torch.onnx.export(torch.nn.Linear(2, 2).eval(), (torch.ones(1, 2),), dynamo=True, verbose=False)
    tqdm.monitor_interval = interval
    del onnx
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise SystemExit(f"{threads} threads after loading: forks would hang")


def _serve(folder: Path, owner: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name.startswith(_READ_AT_START)}
    paths = [path for path in sys.path[1:] if path not in _python_path(os.environ)]
    alive = os.pidfd_open(owner)
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "socket"))
    listening.listen(64)
    settings = json.dumps([sys.executable, str(folder / "socket"), _READ_AT_START, _APPLIED_LATER, _OPTIONS])
    client = folder / "python.new"
    client.write_text(f"#!{sys.executable} -ES\n" + _CLIENT.format(settings=settings, env=environment))
    client.chmod(client.stat().st_mode | stat.S_IXUSR)
    client.rename(folder / "python")
    while True:
        ready, _, _ = select.select([listening, alive], [], [])
        if alive in ready:
            break
        channel, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _handle(channel, paths)
        channel.close()
    for name in ("python", "socket", "log"):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _handle(channel: socket.socket, paths: list[str]) -> None:
    """Between server and process: ends it when its caller ends, tells its caller how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(channel, 8, 3)
    message = b""
    while len(message) < int.from_bytes(size, "big"):
        message += channel.recv(65536)
    child = os.fork()
    if child == 0:
        channel.close()
        os.setsid()
        _become(streams, paths, *json.loads(message))
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, channel], [], [])
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended in ready:
        channel.sendall(str(status).encode())
    os._exit(0)


def _become(streams: list[int], paths: list[str], arguments: list[str], env: dict[str, str], cwd: str) -> None:
    """Do what an interpreter would, as far as one can after its start."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in env
    sys.path[:] = ["", *_python_path(env), *paths]
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    code = 0
    try:
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
        elif arguments[0] == "-m":
            sys.path[0] = cwd
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = str(Path(arguments[0]).resolve().parent)
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _python_path(env: Mapping[str, str]) -> list[str]:
    return [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
