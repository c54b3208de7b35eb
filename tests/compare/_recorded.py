"""Records of real exports before and after each fault of ``tests/faults``, and the findings between them.

``faults.json`` holds whole records before, what differs after, and the findings: of the fault, of its undoing, and of
one fault in place of another in the same model. Records of the tests that ran are made anew by
``python -m pytest -p tests.faults.record tests/faults -k "not random"``, its findings alone, to be read as a diff, by
``python -m tests.compare._recorded``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from pytest_htp.compare.engine import compare_exports

STORED = Path(__file__).parent / "faults.json"
Record = dict[str, Any]
Change = tuple[list[str | int], Any]
_MISSING = object()


def changes(before: Any, after: Any, place: tuple[str | int, ...] = ()) -> list[Change]:
    """Where two JSON values differ: the place, and the value there after (of an object without it: no value)."""
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() <= after.keys():
        return [found for key in after for found in changes(before.get(key, _MISSING), after[key], (*place, key))]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [found for index, pair in enumerate(zip(before, after, strict=True))
                for found in changes(*pair, (*place, index))]  # fmt: skip
    return [] if before == after else [([*place], after)]


def changed(before: Record, found: list[Change]) -> Record:
    """A record after its changes."""
    holder = {"record": copy.deepcopy(before)}
    for place, value in found:
        *outer, last = ["record", *place]
        at: Any = holder
        for key in outer:
            at = at[key]
        at[last] = value
    return holder["record"]


def findings(before: Record, after: Record) -> list[dict[str, Any]]:
    return json.loads(json.dumps([dict(finding) for finding in compare_exports(before, after).findings]))  # type: ignore[no-any-return]


def all_findings(pairs: dict[str, tuple[Record, Record]]) -> dict[str, list[dict[str, Any]]]:
    """By ``fault``, ``fault, undone`` and ``fault, then the next``, where that is one of the same model."""
    found: dict[str, list[dict[str, Any]]] = {}
    names = [*pairs]
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        before, after = pairs[name]
        found[name] = findings(before, after)
        found[f"{name}, undone"] = findings(after, before)
        if pairs[following][0] == before:
            found[f"{name}, then {following}"] = findings(after, pairs[following][1])
    return found


def write(pairs: dict[str, tuple[Record, Record]]) -> None:
    """Write pairs of records by name, with today's findings; the same pair under a second name is left out."""
    befores: list[Record] = []
    cases: list[dict[str, Any]] = []
    kept: dict[str, tuple[Record, Record]] = {}
    for name, (before, after) in pairs.items():
        if before not in befores:
            befores.append(before)
        case = {"before": befores.index(before), "changes": [list(found) for found in changes(before, after)]}
        if all(case != {key: other[key] for key in case} for other in cases):
            cases.append({"name": name, **case})
            kept[name] = before, after
    records, lines = (",\n".join(json.dumps(item, ensure_ascii=False) for item in items) for items in (befores, cases))
    found = ",\n".join(
        f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(each, ensure_ascii=False)}"
        for name, each in all_findings(kept).items()
    )
    STORED.write_text(
        f'{{"befores": [\n{records}\n],\n"cases": [\n{lines}\n],\n"findings": {{\n{found}\n}}}}\n', encoding="utf-8"
    )


def read() -> dict[str, tuple[Record, Record]]:
    """Name → records before and after."""
    stored = json.loads(STORED.read_text("utf-8"))
    befores = stored["befores"]
    return {
        case["name"]: (befores[case["before"]], changed(befores[case["before"]], case["changes"]))
        for case in stored["cases"]
    }


def read_findings() -> dict[str, list[dict[str, Any]]]:
    """As :func:`all_findings`, as they were stored."""
    return json.loads(STORED.read_text("utf-8"))["findings"]  # type: ignore[no-any-return]


if __name__ == "__main__":
    write(read())
