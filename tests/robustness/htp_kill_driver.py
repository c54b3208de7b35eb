"""Kills runs of pytest at random moments. A process of its own, forking runs after torch is imported: a run
takes seconds.

    python htp_kill_driver.py PROJECT KILLS SEED

PROJECT is an example with its baselines made, whose ``net.py`` reads its version from ``version.txt``. Prints
one JSON object: ``{"kills", "by_signal", "finished", "written", "broken", "leftovers", "seconds"}``;
``broken`` must be empty. A run that hangs ends after two minutes and tells where it was.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from pytest_htp.format.load import loads

_HUNG = 120  # seconds; a run takes five
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def run(project: Path) -> int:
    """One run with ``--snapshot-update`` in a forked process; returns its process id at once."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(project)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        faulthandler.dump_traceback_later(_HUNG, exit=True, file=(project / "hung.txt").open("w"))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = int(pytest.main(["-q", "-p", "no:cacheprovider", "--htp-report", "--snapshot-update"]))
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """Exit status of a child as ``os.waitstatus_to_exitcode`` gives it: negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def baselines(project: Path) -> dict[str, bytes]:
    folder = project / "__htp_baselines__"
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.json"))}


def complete(project: Path, version: int) -> dict[str, bytes]:
    """The baselines of a version, by a run that is left alone."""
    (project / "version.txt").write_text(str(version))
    code = wait(run(project))
    if code != 0:
        raise SystemExit(f"an undisturbed run ended with {code}\n{(project / 'hung.txt').read_text()}")
    return baselines(project)


def main(project: Path, kills: int, seed: int) -> dict[str, object]:
    started = time.monotonic()
    chance = random.Random(seed)
    versions = [complete(project, version) for version in (0, 1)]
    timed = time.monotonic()
    complete(project, 0)
    duration = time.monotonic() - timed
    result = Counter[str]()
    broken: list[str] = []
    by_signal = Counter[str]()
    for kill in range(kills):
        before = baselines(project)
        (project / "version.txt").write_text(str((kill + 1) % 2))
        child = run(project)
        time.sleep(chance.uniform(0, duration))
        number = SIGNALS[kill % len(SIGNALS)]
        os.kill(child, number)  # a child that has ended is still there to be waited for
        status = wait(child)
        result["kills"] += 1
        by_signal[number.name] += 1
        result["finished"] += status in (0, 1)
        if hung := (project / "hung.txt").read_text():
            broken.append(f"{number.name}: hung in\n{hung}")
        after = baselines(project)
        for name in versions[0]:
            if after.get(name) not in (before[name], versions[(kill + 1) % 2][name]):
                broken.append(f"{number.name}: {name} is neither old nor new")
        if after.keys() != before.keys():
            broken.append(f"{number.name}: the set of files changed")
        result["written"] += sum(after[name] != before[name] for name in before if name in after)
        for content in after.values():
            loads(content)
        json.loads((project / "htp-report" / "report.json").read_text(encoding="utf-8"))
    leftovers = len(list((project / "__htp_baselines__").rglob(".htp-*")))
    if complete(project, 1) != versions[1]:
        broken.append("an undisturbed run afterwards gives other files")
    return {
        **result,
        "by_signal": by_signal,
        "broken": broken,
        "leftovers": leftovers,
        "seconds": round(time.monotonic() - started, 1),
    }


def two_at_once(project: Path) -> dict[str, object]:
    """Two runs in the same checkout at the same time, both of them writing."""
    expected = complete(project, 1)
    complete(project, 0)
    (project / "version.txt").write_text("1")
    children = [run(project), run(project)]
    codes = [wait(child) for child in children]
    report = json.loads((project / "htp-report" / "report.json").read_text(encoding="utf-8"))
    missing = [
        export["artifacts"]
        for export in report["exports"]
        if not (project / "htp-report" / export["artifacts"] / "baseline.json").is_file()
    ]
    return {
        "codes": codes,
        "same": baselines(project) == expected,
        "exports": len(report["exports"]),
        "missing": missing,
        "leftovers": [path.name for path in project.rglob(".*") if path.name.startswith((".htp-", ".exports-"))],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    import pytest_htp.exporter  # noqa: F401 - before the forks

    where = Path(sys.argv[1])
    if sys.argv[2] == "two":
        print(json.dumps(two_at_once(where)))
    else:
        print(json.dumps(main(where, int(sys.argv[2]), int(sys.argv[3]))))
