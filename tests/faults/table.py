"""Run a catalogue and print its outcome: ``python -m tests.faults.table > docs/reference/faults.md``, and
``python -m tests.faults.table stages > docs/reference/stage-faults.md``."""

from __future__ import annotations

import re
import sys

from pytest_htp import HTPExportError
from pytest_htp.compare.codes import CODES
from pytest_htp.compare.verdicts import at_or_above
from pytest_htp.text import markdown
from tests.faults import _stage_catalogue as stages
from tests.faults._catalogue import FAULTS, outcome
from tests.faults._meaning import MEANINGS, exported
from tests.faults._meaning import outcome as outcome_of_meaning

HEAD = """# Fault catalogue

Regressions that happened upstream, injected into real exports: the model's own code, its options or its
inputs changed, or what the exporter returned was edited as the regression would have left it. `tests/faults`
asserts each row; `python -m tests.faults.table` writes this page. *Extras* are other findings at or above
`drift`. *Step 7 fails* where onnx refuses the graph as not valid, and names node and module. Not here: `record.changed`
(`tests/compare`) and other failures of a step, which have no record to compare.

| code | fault | verdict | found | module named | right | extras |
|---|---|---|---|---|---|---|"""


MEANING_HEAD = """
## Changes of meaning

The same operators, and one attribute, constant or operand of one of them changed: in one export of a module for each
operator, whose graph is edited and put back. Every row is `ops.changed`, and the message says what changed.

| module | the message says | found | right | extras |
|---|---|---|---|---|"""

STAGES_HEAD = """# Faults that only a stage shows

A stage's tool gets other options, its file is edited as a faulty tool would leave it, or the model's code changes in
a way that an optimizer stumbles over; the stages are ONNX Runtime's optimizers, converters and quantizers.
`tests/faults` asserts that each fault gives these findings at or above `drift` and no other;
`python -m tests.faults.table stages` writes this page. Findings without a stage are of the export, where the same
change shows in another way.

| model | fault | findings | all found | extras |
|---|---|---|---|---|"""
SHOWN = 3


def _told(expected: stages.Expected) -> str:
    module = "the graph" if expected.module is None else markdown(expected.module) or "the root"
    return f"`{expected.code}` {module}" + ("" if expected.stage is None else f" ({expected.stage})")


def print_stages() -> None:
    """The catalogue of stages, run."""
    print(STAGES_HEAD)
    for fault in stages.STAGE_FAULTS:
        found, expected = stages.severe(stages.outcome(fault)), set(fault.expected)
        told = "; ".join(_told(each) for each in fault.expected[:SHOWN])
        more = f"; {len(expected) - SHOWN} more" if len(expected) > SHOWN else ""
        cells = (
            fault.family,
            fault.what,
            told + more,
            "yes" if expected <= found else "no",
            str(len(found - expected)),
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def print_meanings() -> None:
    """The catalogue of changes of meaning, run."""
    print(MEANING_HEAD)
    subject = exported()
    for meaning in MEANINGS:
        path, _, _, words = meaning
        told = [found for found in outcome_of_meaning(subject, meaning) if at_or_above(found.verdict, "drift")]
        found = [each for each in told if each.code == "ops.changed" and words in each.message]
        right = [each for each in found if each.module == path]
        cells = (
            path, f"`{words.strip()}`", "yes" if found else "no", "yes" if right else "no",
            str(len(told) - len(right[:1])),
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    if sys.argv[1:] == ["stages"]:
        print_stages()
        return
    print(HEAD)
    for fault in FAULTS:
        try:
            findings = outcome(fault)
        except HTPExportError as error:  # an invalid graph has no record
            where = re.search(r"of module (\S+)", str(error))
            cells = f"`{fault.code}`", fault.what, "step 7 fails", "yes", where[1] if where else "", "yes", "0"
            print(f"| {' | '.join(cells)} |", flush=True)
            continue
        mine = [finding for finding in findings if finding.code == fault.code]
        right = [finding for finding in mine if finding.module == fault.module]
        extras = sum(at_or_above(finding.verdict, "drift") for finding in findings) - sum(
            at_or_above(finding.verdict, "drift") for finding in right[:1]
        )
        named = "the graph" if not mine or mine[0].module is None else mine[0].module or "the root"
        cells = (
            f"`{fault.code}`", fault.what, CODES[fault.code].verdict, "yes" if mine else "no",
            markdown(named) if mine else "", "yes" if right else "no", str(extras),
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)
    print_meanings()


if __name__ == "__main__":
    main()
