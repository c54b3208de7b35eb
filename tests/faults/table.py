"""Run the catalogue and print its outcome: ``python -m tests.faults.table > docs/reference/faults.md``."""

from __future__ import annotations

from pytest_htp.compare import CODES, at_or_above
from pytest_htp.compare.text import markdown
from tests.faults._catalogue import FAULTS, outcome

HEAD = """# Fault catalogue

Regressions that happened upstream, injected into real exports: the model's own code, its options or its
inputs changed, or what the exporter returned was edited as the regression would have left it. `tests/faults`
asserts each row; `python -m tests.faults.table` writes this page. *Extras* are other findings at or above
`drift`. Not here: `record.changed` (`tests/compare`) and `step.failed`, which has no record to compare.

| code | fault | verdict | found | module named | right | extras |
|---|---|---|---|---|---|---|"""


def main() -> None:
    print(HEAD)
    for fault in FAULTS:
        findings = outcome(fault)
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


if __name__ == "__main__":
    main()
