"""Many results to one report, and the questions that every report asks of a result."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import convert, to_builtins
from msgspec.structs import replace

from pytest_htp.compare.verdicts import VERDICTS, worst
from pytest_htp.monitor.jsontext import clean
from pytest_htp.report.result import SCHEMA, BaselineState, Environment, ExportResult, Incomplete, Report, Shard, Totals

CHANGED = VERDICTS[:4]  # verdicts that say the export itself differs; "info" is about its surroundings


def build_report(
    results: Iterable[ExportResult],
    environment: Mapping[str, object],
    *,
    notes: Sequence[str] = (),
    incomplete: Iterable[Incomplete] = (),
    shard: Shard | None = None,
) -> Report:
    """The content of report.json (:class:`Report`), of results in any order.

    ``incomplete`` are tests whose exports the report lacks or only has in part: lost ones, and such as failed elsewhere
    than in an export; an empty nodeid stands for the run.
    """
    exports = sorted(results, key=lambda item: (item.nodeid, item.name))
    return Report(
        schema=SCHEMA,
        environment=convert(environment, Environment),
        totals=_totals(exports),
        notes=list(notes),
        incomplete=_incomplete(incomplete),
        shard=shard,
        exports=exports,
    )


def finished(result: ExportResult, outcome: str) -> ExportResult:
    """A result when its test has ended.

    An export that was fine in a test that fails for another reason has not been accepted; one that failed in a test
    that expected it (``pytest.raises``, xfail) is no failure.
    """
    if outcome != "failed" or result.outcome == "passed":
        result = replace(result, outcome=outcome)
    return replace(result, commands=replace(result.commands, accept=result.accept_command()))


def _incomplete(entries: Iterable[Incomplete]) -> list[Incomplete]:
    """Each once (every worker reports a file that can't be collected), lost ones first."""
    known = {(entry.nodeid, entry.outcome, entry.message): entry for entry in entries}
    return sorted(known.values(), key=lambda entry: (entry.outcome != "lost", entry.nodeid, entry.message))


def _totals(exports: Sequence[ExportResult]) -> Totals:
    verdicts: Counter[str] = Counter(item.verdict for item in exports)
    return Totals(
        exports=len(exports),
        tests=len({item.nodeid for item in exports}),
        nodes=sum(item.nodes or 0 for item in exports),
        verdict=worst_verdict(exports),
        verdicts={verdict: verdicts[verdict] for verdict in VERDICTS},
        outcomes=dict(sorted(Counter(item.outcome for item in exports).items())),
    )


def worst_verdict(exports: Iterable[ExportResult]) -> str:
    """The worst verdict among the exports; ``unchanged`` for none."""
    return worst(item.verdict for item in exports)


def by_severity(exports: Iterable[ExportResult]) -> list[ExportResult]:
    """Worst verdict first, failed before passed, what needs a look before what doesn't, then in report order."""
    return sorted(
        exports,
        key=lambda item: (
            VERDICTS.index(item.verdict),
            item.outcome == "passed",
            not needs_attention(item),
            item.nodeid,
            item.name,
        ),
    )


def needs_attention(result: ExportResult) -> bool:
    """True for an export a reviewer has to look at: changed, failed, or without a baseline, or with an old one."""
    absent = result.baseline_status in (BaselineState.MISSING, BaselineState.UNWRITTEN)
    return result.verdict in CHANGED or result.outcome != "passed" or absent


def is_failed(result: ExportResult) -> bool:
    """True where the test failed, for whatever reason."""
    return result.outcome not in ("passed", "skipped")


def dump_report(report: Report) -> str:
    """report.json's text: ASCII, keys sorted, one export per line: large reports stay quick and diffable."""
    head = to_builtins(replace(report, exports=[]))
    lines = [f'"{key}":{_dumps(value)},' for key, value in sorted(head.items()) if key != "exports"]
    exports = ",\n".join(_dumps(to_builtins(item)) for item in report.exports)
    return "{\n" + "\n".join(lines) + f'\n"exports":[\n{exports}\n]\n}}\n'


def _dumps(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:  # NaN or infinity, which are not JSON: not a measurement, so null
        return json.dumps(clean(value), sort_keys=True, separators=(",", ":"))
