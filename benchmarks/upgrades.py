"""Another version of one package over the bundled models: which findings does it give, against baselines of today's?

    python benchmarks/upgrades.py onnxscript==0.7.1 transformers==5.24.0 [--folder DIR] [--jobs 2]

The tests of ``examples/demo/test_bundled.py`` write baselines with the installed versions; then they run once for each
version, which pip puts into a folder of its own that precedes the others. Prints one JSON object a version: how many
exports have which verdict, and each finding with the tests that have it (``toolchain.changed`` is left out).

With ``--folder`` all of it stays: baselines and versions that are there already are taken as they are (so torch, which
needs more than one package, can be put into ``DIR/torch==VERSION`` beforehand), and ``DIR/report-*`` holds both graphs.
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _measure import ROOT

TESTS = "test_bundled.py"


def run(folder: Path, name: str, *options: str, before: Path | None = None) -> dict[str, Any]:
    """Run the tests, with the packages in ``before`` preceding others; gives the report as it is stored."""
    path = [str(each) for each in (before, ROOT) if each is not None]
    report = folder / f"report-{name}"
    command = [sys.executable, "-m", "pytest", "-q", TESTS, f"--htp-report={report}", *options]
    with (folder / f"{name}.log").open("wb") as log:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "CI": ""}
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    stored: dict[str, Any] = json.loads((report / "report.json").read_text("utf-8"))
    return stored


def findings(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each finding once, with the tests that have it."""
    tests = collections.defaultdict(list)
    for export in report["exports"]:
        for finding in export["findings"]:
            if finding["code"] != "toolchain.changed":
                key = tuple(finding[part] for part in ("code", "verdict", "module", "message"))
                tests[key].append(export["name"])
    return [dict(zip(("code", "verdict", "module", "message"), key, strict=True), tests=tests[key]) for key in tests]


def replay(folder: Path, upgrade: str, *options: str) -> dict[str, Any]:
    """The tests with one other version, ``PACKAGE==VERSION``."""
    package, _, version = upgrade.partition("==")
    target = folder / upgrade
    if not target.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), upgrade]
        subprocess.run(command, check=True, stdout=sys.stderr)
    report = run(folder, upgrade, *options, before=target)
    return {
        "package": package,
        "from": importlib.metadata.version(package),
        "to": version,
        "seen": report["environment"].get(package),
        "exports": len(report["exports"]),
        "verdicts": dict(collections.Counter(export["verdict"] for export in report["exports"])),
        "findings": findings(report),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("upgrades", nargs="+", metavar="PACKAGE==VERSION")
    parser.add_argument("--folder", type=Path, help="keep everything there")
    parser.add_argument("--jobs", default="0", help="processes (pytest-xdist's -n)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "__htp_baselines__").exists():
            (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
            shutil.copy(ROOT / "examples/demo" / TESTS, folder)
            run(folder, "baselines", "-n", options.jobs, "--snapshot-update")
        for upgrade in options.upgrades:
            print(json.dumps(replay(folder, upgrade, "-n", options.jobs)), flush=True)


if __name__ == "__main__":
    main()
