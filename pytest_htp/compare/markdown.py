"""A comparison as a Markdown table, every name from a model escaped."""

from __future__ import annotations

from pytest_htp.compare.finding import Comparison
from pytest_htp.text import markdown


def render_markdown(comparison: Comparison, name: str, fail_on: str) -> str:
    """A heading with the verdict, the toolchain's changes, and one row per finding, worst first."""
    failing = len(comparison.at_or_above(fail_on))
    lines = [f"### {markdown(name)}: {comparison.verdict}", ""]
    if not comparison.findings:
        return "\n".join([*lines, "Nothing changed."])
    lines.append(f"{failing} of {len(comparison.findings)} findings at or above {fail_on}.")
    if comparison.toolchain_changed:
        lines += ["", "Likely cause, the toolchain changed:", ""]
        lines += [
            f"- {markdown(package)} {markdown(old or 'absent')} → {markdown(new or 'absent')}"
            for package, old, new in comparison.toolchain_changed
        ]
    lines += ["", "| verdict | code | module | what changed |", "|---|---|---|---|"]
    for finding in comparison.findings:
        module = "" if finding.module is None else "(root)" if finding.module == "" else finding.module
        cells = (finding.verdict, finding.code, module, finding.message)
        lines.append("| " + " | ".join(markdown(cell) for cell in cells) + " |")
    return "\n".join(lines)
