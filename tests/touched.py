"""The tests of what a change touches: ``python tests/touched.py [BASE] [PYTEST OPTION...]``.

By folder, from the files that differ from BASE (default ``main``) or are new. A room's tests are in the folder of
its name; what has none, and every change of the package, is tried by one whole life of a baseline. Quick and not
complete: a change of one room may break another's tests, which the whole run finds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIFE_OF_A_BASELINE = "tests/plugin/test_update_flow.py"
# Where the folder has another name, or a part of it is enough.
_TESTS = {
    "cli": ("tests/cli", "tests/cli_export"),
    "hookspecs.py": ("tests/hooks",),
    "plugin.py": ("tests/plugin",),
    "tag.py": ("tests/tagging/test_tag_grammar.py",),
    "testing.py": ("tests/plugin/test_harness.py",),
    "text.py": ("tests/compare/test_compare_words.py", "tests/report/test_report_text.py"),
    "__init__.py": ("tests/plugin/test_startup.py",),
}
# Helpers of tests that every folder uses: their own tests stand for them.
_HELPERS = {"conftest.py", "htp_examples.py", "htp_warm.py"}


def found_for(changed: Iterable[str]) -> list[str]:
    """Files and folders for pytest, from changed files, all relative to the repository's root."""
    found: set[str] = set()
    for name in changed:
        parts = Path(name).parts
        if parts[0] == "pytest_htp":
            found.update(_TESTS.get(parts[1], (f"tests/{parts[1]}",)), (LIFE_OF_A_BASELINE,))
        elif parts[0] == "tests" and len(parts) == 2:
            found.add("tests/plugin/test_warm_processes.py" if parts[1] in _HELPERS else name)
        elif parts[0] == "tests":
            itself = parts[-1].startswith("test_") and len(parts) == 3
            found.add(name if itself else "/".join(parts[:2]))
        elif name.endswith(".md"):
            found.add("tests/docs")
    there = {name for name in found if (ROOT / name).exists() and (ROOT / name).suffix in ("", ".py")}
    return sorted(name for name in there if not any(f"{folder}/" in name for folder in there - {name}))


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def main(arguments: list[str]) -> int:
    base = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "main"
    fork = _git("merge-base", base, "HEAD")[0]
    changed = [*_git("diff", "--name-only", fork), *_git("ls-files", "--others", "--exclude-standard")]
    tests = found_for(changed)
    print(f"{len(changed)} files differ from {base}; their tests: {' '.join(tests) or 'none'}", flush=True)
    if not tests:
        return 0
    pages = [name for name in changed if name.endswith(".md")]
    if tests == ["tests/docs"] and pages:
        arguments = ["-k", " or ".join(f"[{page}]" for page in pages), *arguments]
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", *tests, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
