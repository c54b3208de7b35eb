"""Where in the user's own code an operator comes from, as the exporter recorded it."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_htp.tagging.tagger import Tagging

STACK_TRACE = "pkg.torch.onnx.stack_trace"
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)')


def source_lines(tagging: Tagging, project: Path) -> dict[str, dict[str, str]]:
    """Module path → operator → ``file.py:line`` of the innermost frame inside the project.

    Lines of installed packages, and of files outside ``project``, are left out: they are nobody's to change, and their
    paths say something about the machine.
    """
    root = project.resolve()
    cache: dict[str, str | None] = {}
    found: dict[str, dict[str, str]] = {}
    for facts in tagging.nodes:
        trace = facts.node.metadata_props.get(STACK_TRACE)
        if facts.path is None or not trace:
            continue
        if trace not in cache:
            cache[trace] = _innermost(trace, root)
        line = cache[trace]
        if line is not None:
            found.setdefault(facts.path, {}).setdefault(facts.node.op_type, line)
    return found


def _innermost(trace: str, root: Path) -> str | None:
    for file, line in reversed(_FRAME.findall(trace)):
        path = Path(file)
        if not path.is_absolute() or "site-packages" in path.parts or not path.is_relative_to(root):
            continue
        return f"{path.relative_to(root).as_posix()}:{line}"
    return None
