"""``htp tag FILE --from TAGGED.onnx -o OUT.onnx``: tags carried onto a file that another tool made of a tagged one."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError
from pytest_htp.text import inert, percent, plural

if TYPE_CHECKING:
    import onnx_ir as ir

    from pytest_htp.tagging.tagger import Tagging


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "tag",
        help="carry tags onto a file that another tool made of a tagged one",
        description="Carry the tags of TAGGED onto FILE, which an optimizer, a quantizer or another tool made of it. "
        "Exit 0 written, 2 bad input, such as a FILE that was not made of TAGGED.",
    )
    parser.add_argument("file", metavar="FILE", help="the .onnx that lost its tags")
    parser.add_argument("--from", dest="tagged", required=True, metavar="TAGGED.onnx", help="the tagged file")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.onnx", help="where to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from pytest_htp.carry import carry  # onnx and numpy: 0.5 s
    from pytest_htp.files.load import load_onnx
    from pytest_htp.files.modules import TAGS, namespace_of, read_modules
    from pytest_htp.tagging.embed import embed_tags

    tagged, file = load_onnx(arguments.tagged), load_onnx(arguments.file)
    before = read_modules(tagged.model)
    if before.source != TAGS:
        reason = before.note or "export it with HTPExporter (embed_hierarchy_attributes=True)"
        raise HTPUsageError(f"{arguments.tagged} holds no hierarchy tags: {reason}")
    tagging = carry(before.tagging, file.model)
    coverage = tagging.coverage
    if coverage.total_nodes and coverage.none == coverage.total_nodes:
        why = next((facts.cause for facts in tagging.nodes if facts.cause), "no node of it is known")
        raise HTPUsageError(f"{arguments.file} was not made of {arguments.tagged}: {why}; nothing was written")
    embed_tags(tagging, namespace_of(tagged.model) or "htp")
    _save(file.model, arguments.output)
    _print(arguments.output, tagging)
    return 0


def _save(model: ir.Model, output: Path) -> None:
    """Write beside the target first; large weights, and those that were beside the file, go beside the new one."""
    import onnx_ir as ir

    if not output.parent.is_dir():
        raise HTPUsageError(f"{output}: its folder does not exist: make it first")
    external = any(
        isinstance(v.const_value, ir.ExternalTensor) for g in model.graphs() for v in g.initializers.values()
    )
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    data = f"{output.name}.data"
    try:
        ir.save(model, temporary, external_data=data if external else None)
        temporary.replace(output)
    except (OSError, ValueError) as error:
        raise HTPUsageError(f"{output} can't be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _print(output: Path, tagging: Tagging) -> None:
    coverage = tagging.coverage
    print(
        f"{inert(str(output))}: coverage {percent(coverage.coverage)} of {coverage.total_nodes:,} nodes "
        f"({coverage.direct:,} direct, {coverage.fused:,} fused, {coverage.inferred:,} inferred)"
    )
    causes = Counter(facts.cause or "no evidence" for facts in tagging.nodes if facts.path is None)
    for cause, count in sorted(causes.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {plural(count, 'node')} without a tag: {inert(cause)}")
