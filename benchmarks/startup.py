"""pytest in an empty folder with and without the plugin.

    python benchmarks/startup.py [--rounds N]

Expected: at most 20 ms more, and none of the heavy packages imported.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile

from _measure import alternate, report

HEAVY = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "rich", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:

        def run(*options: str) -> str:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
            return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout

        run(), run("-p", "no:htp")
        without, with_plugin = alternate(lambda: run("-p", "no:htp"), run, arguments.rounds)
        probe = (
            "import sys, pytest; pytest.main(['--co', '-q']); "
            f"print([name for name in {HEAVY!r} if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", probe], cwd=folder, capture_output=True, text=True)
    differences = [ours - bare for bare, ours in zip(without, with_plugin, strict=True)]
    report(
        {
            "benchmark": "startup",
            "extra_ms": round(1000 * statistics.median(differences), 1),
            "extra_ms_of_fastest": round(1000 * (min(with_plugin) - min(without)), 1),
            "without_ms": round(1000 * statistics.median(without), 1),
            "with_ms": round(1000 * statistics.median(with_plugin), 1),
            "heavy_imports": done.stdout.strip().splitlines()[-1],
        }
    )


if __name__ == "__main__":
    main()
