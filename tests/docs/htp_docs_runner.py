"""Runs a page: writes its files, runs its commands in this process, compares what they print.

In this process, because a torch import costs more than ten small exports. A command is ``pytest``, ``htp`` or
``python FILE`` (also ``python -m pytest``), or one of a few programs that only look.

By hand, to write the real output into a page (blocks with "..." are left alone)::

    python tests/docs/htp_docs_runner.py docs/tutorial.md --update
"""

from __future__ import annotations

import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from pytest_htp.testing import Example

sys.path.insert(0, str(Path(__file__).parent))

from htp_docs_pages import Block, apply_diff, blocks_of, commands_of, is_excerpt
from htp_docs_tables import update_tables

PROJECTS = Path(__file__).parent / "projects"
_LOOKING = ("git", "ls", "cat", "head", "tail", "find", "grep", "mv", "rm", "cp", "mkdir")
# The harness runs pytest where the plugin is imported already, a user's pytest does not warn of that; and
# pytest's search for errors in destructors collects garbage five times, a second where torch is loaded.
# Not as if they were typed: the commands that pytest-htp prints would repeat them.
_QUIET = {"PYTEST_ADDOPTS": "-W ignore::pytest.PytestAssertRewriteWarning -p no:unraisableexception"}


class PageError(AssertionError):
    """A block did not do what the page says."""


class Page:
    """One page and its project folder."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self._example = Example({}, folder=folder)
        self.folder = self._example.folder
        self.blocks = list(blocks_of(path))
        self._never_run: dict[str, Block] = {}  # test files that no command has run yet
        self._rewritten: dict[int, str] = {}  # line of a block → its body with the real output
        self._names: dict[str, object] = {"__name__": "__main__"}

    def run(self, *, update: bool = False) -> None:
        """Run all blocks in order.

        Raises:
            PageError: what a block did and what the page says differ.
        """
        printed: str | None = None
        for block in self.blocks:
            if "skip" in block.options:
                continue
            if block.kind == "text" and printed is not None:
                self._compare(block, "the printed text", block.body, printed, update)
            printed = None
            if block.kind == "project":
                shutil.copytree(PROJECTS / block.body, self.folder, dirs_exist_ok=True)
            elif block.kind == "run":
                output, code = self._command(block.body)
                if code != 0:
                    raise self._error(block, f"{block.body}: exit status {code}\n{output}")
            elif block.kind == "console":
                for command, expected in commands_of(block):
                    output, code = self._command(command)
                    if "exit" in block.options and code != int(block.options["exit"]):
                        raise self._error(block, f"{command}: exit status {code}\n{output}")
                    self._compare(block, command, expected, output, update)
            elif "file" in block.options:
                self._file(block)
            elif "run" in block.options:
                printed = self._execute(block)

        for name, block in self._never_run.items():
            raise self._error(block, f"no command on the page runs {name}")
        if self._rewritten:
            self._rewrite()

    def _rewrite(self) -> None:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        for block in reversed(self.blocks):
            if block.line in self._rewritten:
                end = block.line + block.body.count("\n")
                lines[block.line : end] = self._rewritten[block.line].splitlines()
        self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _file(self, block: Block) -> None:
        target = self.folder / block.options["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if block.kind == "diff":
            try:
                block_text = apply_diff(target.read_text(encoding="utf-8"), block.body)
            except ValueError as error:
                raise self._error(block, f"{target.name}: {error}") from None
            target.write_text(block_text, encoding="utf-8")
        elif "part" in block.options:
            if not is_excerpt(block.body, target.read_text(encoding="utf-8")):
                raise self._error(block, f"this is no excerpt of {target.name}")
        else:
            target.write_text(block.body, encoding="utf-8")
        name = target.name
        if name.startswith("test_") or name.endswith(".htp.toml"):
            self._never_run[name] = block
        elif block.kind in ("ini", "toml"):
            output, code = self._command("pytest --collect-only -q")
            if code not in (0, 5):  # 5: there are no tests yet
                raise self._error(block, f"pytest can't be configured so:\n{output}")

    def _execute(self, block: Block) -> str:
        code = compile("\n" * block.line + block.body, str(self.path), "exec")
        output = io.StringIO()
        with self._inside(), redirect_stdout(output):
            try:
                exec(code, self._names)
            except Exception:
                raise self._error(block, traceback.format_exc()) from None
        return output.getvalue()

    def _command(self, command: str) -> tuple[str, int]:
        words = shlex.split(command)
        settings = {}
        while "=" in words[0]:
            name, _, settings[name] = words.pop(0).partition("=")
        if words[:3] == ["python", "-m", "pytest"]:
            words = words[2:]
        if words[0] in _LOOKING:
            done = subprocess.run(
                words, cwd=self.folder, env={**os.environ, **settings}, capture_output=True, text=True,
                encoding="utf-8", check=False,
            )  # fmt: skip
            return done.stdout + done.stderr, done.returncode
        if words[0] == "pytest":
            named = [name for name in self._never_run if any(name in word for word in words)]
            if "--collect-only" not in words:
                for name in named or list(self._never_run):
                    del self._never_run[name]
            run = self._example.run_pytest(*words[1:], env={**_QUIET, **settings}, report=False)
            return run.stdout + run.stderr, run.returncode
        output = io.StringIO()
        with self._inside(settings), redirect_stdout(output), redirect_stderr(output):
            code = _call(words)
        return output.getvalue(), code

    @contextmanager
    def _inside(self, settings: Mapping[str, str] | None = None) -> Iterator[None]:
        """In the project's folder with 80 columns; the project's modules are forgotten afterwards."""
        path, bytecode, cwd = list(sys.path), sys.dont_write_bytecode, Path.cwd()
        sys.dont_write_bytecode = True  # an edit within the same second must be seen
        sys.path.insert(0, str(self.folder))
        os.chdir(self.folder)
        try:
            with mock.patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1", **(settings or {})}):
                yield
        finally:
            os.chdir(cwd)
            sys.path[:] = path
            sys.dont_write_bytecode = bytecode
            for name, module in list(sys.modules.items()):
                file = getattr(module, "__file__", None)
                if isinstance(file, str) and self.folder in Path(file).parents:
                    del sys.modules[name]

    def _compare(self, block: Block, what: str, expected: str, actual: str, update: bool) -> None:
        if output_matches(expected, actual):
            return
        if update and "..." not in expected.splitlines():
            shown = actual.lstrip("\n") if actual.endswith("\n") or not actual else f"{actual}\n"
            head = f"$ {what}\n" if block.kind == "console" else ""
            before = self._rewritten.get(block.line, block.body)
            self._rewritten[block.line] = before.replace(head + expected, head + shown, 1)
            return
        raise self._error(block, f"{what}\n--- the page says\n{expected}\n--- it printed\n{actual}")

    def _error(self, block: Block, text: str) -> PageError:
        return PageError(f"{self.path.name}:{block.line}: {text}")


def _call(words: Sequence[str]) -> int:
    program, arguments = words[0], list(words[1:])
    if program == "htp":
        from pytest_htp.cli import main

        return main(arguments)
    if program == "python" and arguments and arguments[0].endswith(".py"):
        argv, sys.argv = sys.argv, arguments
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        finally:
            sys.argv = argv
        return 0
    raise ValueError(f"the documentation's tests can't run {program!r}; mark the block skip=\"why\"")


def output_matches(expected: str, actual: str) -> bool:
    """Whether output is as shown, whatever its times, versions and folders; ``...`` stands for any lines."""
    return _lines_match(_normal(expected), _normal(actual))


_MASKS = (
    (re.compile(r"\bin \d+\.\d+s(?: \(\d+:\d\d:\d\d\))?"), "in N s"),
    (re.compile(r"\d+(?:\.\d+)? ?s\b"), "N s"),
    (re.compile(r"\b\d+\.\d+\.\d+(?:[.+\w-]*\w)?"), "V"),
    (re.compile(r"([%\d+-]) +\d+\.\d$"), r"\1 N"),  # the table's last column, seconds
    (re.compile(r"\b\d(?:\.\d+)?e-\d\d\b"), "1e-NN"),  # rounding noise
    (re.compile(r"^index [0-9a-f]+\.\.[0-9a-f]+"), "index"),
    (re.compile(r"([=_-])\1{2,}"), r"\1\1\1"),
    (re.compile(r"(?:/[^\s/]+)+/(?=test_|model|__htp|htp-report)"), ""),
    (re.compile(r" {2,}"), "  "),
)


def _normal(text: str) -> list[str]:
    lines = []
    for line in text.splitlines():
        line = line.rstrip()
        for pattern, replacement in _MASKS:
            line = pattern.sub(replacement, line)
        lines.append(line.rstrip())
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _lines_match(expected: list[str], actual: list[str]) -> bool:
    """Greedy from gap to gap: enough, since what stands between two gaps is matched at its first place."""
    chunks: list[list[str]] = [[]]
    for line in expected:
        if line.strip() == "...":
            chunks.append([])
        else:
            chunks[-1].append(line)
    if len(chunks) == 1:
        return expected == actual
    first, *middle, last = chunks
    if actual[: len(first)] != first:
        return False
    position, end = len(first), len(actual) - len(last)
    if end < position or actual[end:] != last:
        return False
    for chunk in middle:
        places = range(position, end - len(chunk) + 1)
        found = next((place for place in places if actual[place : place + len(chunk)] == chunk), None)
        if found is None:
            return False
        position = found + len(chunk)
    return True


def _main() -> None:
    import tempfile

    update = "--update" in sys.argv
    for name in sys.argv[1:]:
        if not name.startswith("--"):
            if update:
                update_tables(Path(name))
            with tempfile.TemporaryDirectory() as folder:
                Page(Path(name).resolve(), Path(folder)).run(update=update)
                print(f"{name}: fine")


if __name__ == "__main__":
    _main()
