"""Records of real exports before and after each fault of ``tests/faults``, and the findings between them.

``faults.json`` holds whole records before, and what differs after. Records of the tests that ran are made anew by
``python -m pytest -p tests.faults.record tests/faults -k "not random"``, its findings alone, to be read as a diff, by
``python -m tests.compare._recorded``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from pytest_htp.compare import compare_exports

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


def write(pairs: dict[str, tuple[Record, Record]]) -> None:
    """Write pairs of records by name, with today's findings; the same pair under a second name is left out."""
    befores: list[Record] = []
    cases: list[dict[str, Any]] = []
    for name, (before, after) in pairs.items():
        if before not in befores:
            befores.append(before)
        case = {"before": befores.index(before), "changes": [list(found) for found in changes(before, after)]}
        if all(case != {key: other[key] for key in case} for other in cases):
            cases.append({"name": name, **case, "findings": findings(before, after)})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    records = ",\n".join(json.dumps(record, ensure_ascii=False) for record in befores)
    STORED.write_text(f'{{"befores": [\n{records}\n],\n"cases": [\n{lines}\n]}}\n', encoding="utf-8")


def read() -> dict[str, tuple[Record, Record, list[dict[str, Any]]]]:
    """Name → records before and after, and the findings between them."""
    stored = json.loads(STORED.read_text("utf-8"))
    return {
        case["name"]: (
            stored["befores"][case["before"]],
            changed(stored["befores"][case["before"]], case["changes"]),
            case["findings"],
        )
        for case in stored["cases"]
    }


if __name__ == "__main__":
    write({name: (before, after) for name, (before, after, _) in read().items()})
