"""The ``htp`` command. Imports no torch; each sub-command is a module with ``add_parser(subparsers)``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pytest_htp import __version__
from pytest_htp.cli import bisect, compare, export, init, merge, show, tag
from pytest_htp.errors import HTPUsageError
from pytest_htp.text import inert

# A command's ``add_parser`` adds its parser and sets ``run``: parsed arguments → exit code.
COMMANDS = (init, export, compare, tag, merge, show, bisect)

BAD_INPUT = 2
NOT_READ = 128 + 13  # as shells say of a program that SIGPIPE ends


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``htp``. Returns the exit code: 0, 1 (findings), 2 (bad input, one line on stderr)."""
    parser = argparse.ArgumentParser(
        prog="htp", description="Export models to ONNX; compare, merge and show what was exported."
    )
    parser.add_argument("--version", action="version", version=f"pytest-htp {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    given, passed_on = _split(sys.argv[1:] if argv is None else argv)
    try:
        arguments = parser.parse_args(given)
    except SystemExit as stop:  # argparse's own --help (0) and usage errors (2)
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    arguments.passed_on = passed_on
    _write_anything()
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except HTPUsageError as error:
        print(f"htp {arguments.command}: {inert(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # ``htp show … | head``: nobody reads on; what the command would have said is not known
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return NOT_READ
    return code


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command's arguments and, for ``bisect``, those after ``--``, which are pytest's.

    argparse would drop the ``--`` and take what follows for more ranges.
    """
    given = list(argv)
    if given[:1] != ["bisect"] or "--" not in given:
        return given, []
    end = given.index("--")
    return given[:end], given[end + 1 :]


def _write_anything() -> None:
    """Characters the terminal's encoding lacks are escaped, not a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
