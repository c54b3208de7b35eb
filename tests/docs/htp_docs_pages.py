"""Markdown pages as sequences of blocks that can be run.

A fenced block's info string says what the block is for::

    ```python file=model.py       the block is a file of the page's project (also toml, ini, json, yaml)
    ```python file=a.py part      an excerpt of a file: its lines must be in it, in this order
    ```diff file=model.py         an edit of that file: " " and "-" lines are replaced by " " and "+" lines
    ```python run                 the block is executed; what it prints is the next ```text block, if any
    ```console                    "$ " lines are commands, those after each its output ("..." skips any)
    ```console exit=1             the same, with the exit status of its commands
    ```console skip="why"         not executed, for that reason

``<!-- project: NAME -->`` copies ``tests/docs/projects/NAME`` into the page's folder before anything else,
``<!-- run: COMMAND -->`` runs a command that the reader does not see. Every page has a folder of its own.

What stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` is generated (``htp_docs_tables``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`\n]*)$")
_HIDDEN = re.compile(r"^<!-- (?P<kind>project|run): (?P<value>.+?) -->$")
# Languages whose blocks must be run, be a file, or say why not.
EXECUTABLE = frozenset({"python", "toml", "ini", "console", "sh", "bash", "shell", "diff"})


@dataclass
class Block:
    """One fenced block or hidden comment.

    Attributes:
        kind: language of a block; ``project`` or ``run`` of a comment.
        options: ``file=…``, ``skip=…``; a word alone has the value ``""``.
        body: the text between the fences, ending in a line break.
        line: 1-based line of the opening fence.
    """

    kind: str
    body: str
    line: int
    options: dict[str, str] = field(default_factory=dict)


def blocks_of(page: Path) -> Iterator[Block]:
    """All blocks of a page in order. Raises ValueError for a fence that is never closed."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        hidden = _HIDDEN.match(line.strip())
        fence = _FENCE.match(line)
        if hidden:
            yield Block(hidden["kind"], hidden["value"], number + 1)
        elif fence:
            end = next(
                (
                    later
                    for later in range(number + 1, len(lines))
                    if lines[later].strip() == fence["fence"] and _FENCE.match(lines[later])
                ),
                None,
            )
            if end is None:
                raise ValueError(f"{page.name}:{number + 1}: the block is never closed")
            indent = len(fence["indent"])
            body = "".join(f"{text[indent:]}\n" for text in lines[number + 1 : end])
            language, *words = shlex.split(fence["info"]) or [""]
            options = {key: value for key, _, value in (word.partition("=") for word in words)}
            yield Block(language, body, number + 1, options)
            number = end
        number += 1


def commands_of(block: Block) -> list[tuple[str, str]]:
    """``(command, expected output)`` pairs of a console block.

    Raises ValueError where it does not begin with a command.
    """
    pairs: list[tuple[str, list[str]]] = []
    for line in block.body.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], []))
        elif pairs and pairs[-1][0].endswith("\\") and not pairs[-1][1]:
            pairs[-1] = (f"{pairs[-1][0][:-1]}{line.strip()}", [])
        elif pairs:
            pairs[-1][1].append(line)
        else:
            raise ValueError(f"line {block.line}: a console block begins with '$ COMMAND'")
    return [(command, "".join(f"{line}\n" for line in output)) for command, output in pairs]


def apply_diff(text: str, diff: str) -> str:
    """Apply excerpts in diff notation, separated by "@@" lines.

    Raises ValueError unless an excerpt's old lines are in the text exactly once.
    """
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
        new = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
        if text.count(old) != 1:
            raise ValueError(f"these lines are in the file {text.count(old)} times, not once:\n{old}")
        text = text.replace(old, new)
    return text


def is_excerpt(part: str, text: str) -> bool:
    """Whether all lines of ``part`` (but ``...``) are in ``text``, in this order."""
    remaining = iter([line.strip() for line in text.splitlines()])
    return all(line.strip() in remaining for line in part.splitlines() if line.strip() not in ("", "..."))
