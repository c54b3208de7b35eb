"""report.json: what every other report is drawn from."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_htp.compare.verdicts import VERDICTS, worst
from pytest_htp.errors import HTPUsageError

SCHEMA = "pytest-htp/report/1"
CHANGED = VERDICTS[:4]  # verdicts that say the export itself differs; "info" is about its surroundings

Result = Mapping[str, Any]
Incomplete = Mapping[str, Any]  # {"nodeid", "outcome": "lost" | "failed", "message", "file", "line"}
Report = dict[str, Any]

# An export that stopped early has fewer keys; every reader may rely on these being there.
_DEFAULTS: dict[str, Any] = {
    "file": None,
    "line": None,
    "outcome": "passed",
    "verdict": "unchanged",
    "fail_on": None,
    "findings": [],
    "coverage": None,
    "coverage_before": None,
    "parity": None,
    "attestation": None,
    "steps": {},
    "seconds": None,
    "nodes": None,
    "bytes": None,
    "baseline": None,
    "baseline_status": "off",
    "model_class": None,
    "record": None,
    "before": None,
    "artifacts": None,
    "shared_with": None,
    "console": "",
    "sections": [],
    "commands": {},
    "error": None,
}


def build_report(
    results: Iterable[Result],
    environment: Mapping[str, Any],
    *,
    notes: Sequence[str] = (),
    incomplete: Iterable[Incomplete] = (),
) -> Report:
    """The content of report.json.

    Args:
        results: one mapping per export, in any order.
        environment: toolchain versions, Python, platform family; no host, user or path.
        notes: sentences about the run itself, such as a lost worker or a duplicate that a merge dropped.
        incomplete: tests whose exports the report lacks or only has in part: lost ones, and such as failed
            elsewhere than in an export; an empty nodeid stands for the run.

    Raises:
        HTPUsageError: a result without nodeid or name, or with an unknown verdict.
    """
    exports = [_complete(result) for result in results]
    exports.sort(key=lambda item: (item["nodeid"], item["name"]))
    return {
        "schema": SCHEMA,
        "environment": dict(environment),
        "totals": _totals(exports),
        "notes": list(notes),
        "incomplete": _incomplete(incomplete),
        "exports": exports,
    }


def _incomplete(entries: Iterable[Incomplete]) -> list[dict[str, Any]]:
    """Each once (every worker tells of a file that can't be collected), lost ones first."""
    known = {(entry["nodeid"], entry["outcome"], entry["message"]): dict(entry) for entry in entries}
    return sorted(
        ({"file": None, "line": None, **entry} for entry in known.values()),
        key=lambda entry: (entry["outcome"] != "lost", entry["nodeid"], entry["message"]),
    )


def _complete(result: Result) -> dict[str, Any]:
    for key in ("nodeid", "name"):
        if not isinstance(result.get(key), str):
            raise HTPUsageError(f"an export result needs a {key!r} string, got {result.get(key)!r}")
    item = {**_DEFAULTS, **result}
    if item["verdict"] not in VERDICTS:
        raise HTPUsageError(
            f"export {item['nodeid']}: unknown verdict {item['verdict']!r}; known: {', '.join(VERDICTS)}"
        )
    return item


def _totals(exports: Sequence[Result]) -> dict[str, Any]:
    verdicts = Counter(item["verdict"] for item in exports)
    outcomes = Counter(item["outcome"] for item in exports)
    return {
        "exports": len(exports),
        "tests": len({item["nodeid"] for item in exports}),
        "nodes": sum(item["nodes"] or 0 for item in exports),
        "verdict": worst_verdict(exports),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS},
        "outcomes": dict(sorted(outcomes.items())),
    }


def worst_verdict(exports: Iterable[Result]) -> str:
    """The worst verdict among the exports; ``unchanged`` for none."""
    return worst(item["verdict"] for item in exports)


def by_severity(exports: Iterable[Result]) -> list[Result]:
    """Worst verdict first, failed before passed, then in report order."""
    return sorted(
        exports,
        key=lambda item: (
            VERDICTS.index(item["verdict"]),
            item["outcome"] == "passed",
            item["nodeid"],
            item["name"],
        ),
    )


def needs_attention(result: Result) -> bool:
    """True for an export a reviewer has to look at: changed, failed, or without a baseline."""
    return result["verdict"] in CHANGED or result["outcome"] != "passed" or is_missing(result)


def is_failed(result: Result) -> bool:
    """True where the test failed, for whatever reason."""
    return result["outcome"] not in ("passed", "skipped")


def is_missing(result: Result) -> bool:
    """True where there is no baseline to compare with."""
    return bool(result["baseline_status"] == "missing")


def dump_report(report: Report) -> str:
    """report.json's text: ASCII, keys sorted, one export per line: large reports stay quick and diffable."""
    head = {key: value for key, value in report.items() if key != "exports"}
    lines = [f'"{key}":{_dumps(value)},' for key, value in sorted(head.items())]
    exports = ",\n".join(_dumps(item) for item in report["exports"])
    return "{\n" + "\n".join(lines) + f'\n"exports":[\n{exports}\n]\n}}\n'


def _dumps(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:  # NaN or infinity, which are not JSON: not a measurement, so null
        return json.dumps(_finite(value), sort_keys=True, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
