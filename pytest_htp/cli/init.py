"""``htp init PATH|CONFIG…``: a first ``models.htp.toml`` for the models it finds. Imports no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.atomic import write_text
from pytest_htp.manifest.first import find_models, manifest_text
from pytest_htp.manifest.parse import SUFFIX
from pytest_htp.text import inert, plural

DEFAULT = f"models{SUFFIX}"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "init",
        help="write a first manifest: tests for saved models, without code",
        description=f"Write {DEFAULT} with a test for every saved model found. Exit 0 written, 2 bad input.",
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, default=[Path()], metavar="PATH|CONFIG",
        help="folders to look in, or config.json files (default: the current folder)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path(DEFAULT), metavar="FILE", help=f"default: {DEFAULT}")
    parser.add_argument("--force", action="store_true", help="replace a manifest that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    output: Path = arguments.output
    if not output.name.endswith(SUFFIX):
        raise HTPUsageError(f"{str(output)!a}: the name of a manifest ends with {SUFFIX}")
    if output.exists() and not arguments.force:
        raise HTPUsageError(f"{output} is there already: write another with -o FILE, or replace it with --force")
    models = find_models(arguments.paths)
    try:
        write_text(output, manifest_text(models, output.parent))
    except OSError as error:
        raise HTPUsageError(f"{output} can't be written: {error.strerror or error}") from error
    print(f"{inert(str(output))}: {plural(len(models), 'test')}")
    for model in models:
        print(f"  {inert(model.folder.resolve().name)}  {inert(model.architecture or model.family)}")
    print(f"next: pytest {inert(str(output))} --snapshot-update")
    return 0
