"""The page that the zoo writes: totals, what was lost and why, one row per export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

INTRODUCTION = """\
# The zoo: what every node's tag stands on

Written by `python benchmarks/zoo.py`; don't edit. Tiny configs, random weights, the exporter that
`auto` selects, optimized. A *direct* tag is the call stack the exporter recorded, a *fused* one that of
a node which optimization made of several modules' nodes (their number is under *origins*), an
*inferred* one comes from the exported program or, where that is silent, from a rule in
[inference rules](inference-rules.md); *none* is a node without a tag. Counted are all nodes, in bodies of control
flow too. Seconds depend on the machine and are left out of the rows.
"""


def render(rows: Sequence[Row], kinds: Mapping[str, str]) -> str:
    """Markdown, the same for the same rows."""
    done = [row for row in rows if "error" not in row]
    failed = [row for row in rows if "error" in row]
    lines = [INTRODUCTION, *_totals(done), *_causes(done), *_uneven(done)]
    for kind in dict.fromkeys(kinds.values()):
        lines += [
            f"## {kind[0].upper()}{kind[1:]}",
            "",
            *_table([row for row in done if kinds[row["name"]] == kind]),
        ]
    if failed:
        lines += ["## Not exported", ""]
        lines += [f"- {_title(row)}: `{str(row['error']).replace('`', '')}`" for row in failed]
        lines.append("")
    lines += [
        "timm's models are measured where timm is installed; `benchmarks/timm_models.py` says what that takes",
        "beside a CPU build of torch.",
        "",
    ]
    return "\n".join(lines)


def _totals(rows: Sequence[Row]) -> list[str]:
    total = Counter[str]()
    for row in rows:
        for key in (
            "nodes",
            "direct",
            "fused",
            "inferred",
            "none",
            "at_root",
            "foreign_tags",
            "missed_fusions",
        ):
            total[key] += row[key]
    rules = sum((Counter(row["rules"]) for row in rows), Counter[str]())
    seconds = [sum(row[key] for row in rows) for key in ("tag_seconds", "export_seconds")]
    unobserved = sum(bool(row["unobserved"]) for row in rows)
    shares = ", ".join(
        f"{key} {total[key]:,} ({100 * total[key] / total['nodes']:.2f}%)"
        for key in ("direct", "fused", "inferred", "none")
    )
    return [
        "## Totals",
        "",
        f"- {len({row['name'] for row in rows})} architectures, {len(rows)} exports,"
        f" {total['nodes']:,} nodes: {shares}.",
        f"- At the root itself: {100 * total['at_root'] / total['nodes']:.2f}%.",
        f"- Tags that name no module of the model, or another class: {total['foreign_tags']}.",
        f"- Nodes seen to be joined by the optimizer but not marked fused: {total['missed_fusions']}.",
        f"- Exports in which some place of the optimizer could not be observed: {unobserved}.",
        f"- Tagging took {100 * seconds[0] / seconds[1]:.1f}% of the time of exporting.",
        "- By rule: " + ", ".join(f"{rule} {count:,}" for rule, count in sorted(rules.items())) + ".",
        "",
    ]


def _causes(rows: Sequence[Row]) -> list[str]:
    causes = sum((Counter(row["causes"]) for row in rows), Counter[str]())
    lines = ["## Why nodes have no tag", ""]
    lines += [f"- {count} × {cause}" for cause, count in sorted(causes.items())] or ["Every node has one."]
    return [*lines, ""]


def _uneven(rows: Sequence[Row]) -> list[str]:
    """Repeated modules whose operators differ, so that a favoured layer would show."""
    found = [f"- {_title(row)}: {', '.join(f'`{path}`' for path in row['uneven'])}" for row in rows if row["uneven"]]
    lines = ["## Repeated modules whose own operators differ", ""]
    lines += [
        "A layer that was given what all share would show up here. Causes that were found: stages of different",
        "size or stride, shifted windows, a first layer that computes the position bias or whose input is a",
        "constant, a last one that nobody reads, transposes that cancel against the next layer's, members of a",
        "`Sequential`. Most lines differ in the traced program already, before any optimization. Where that is even:",
        "weight standardization is folded for small weights only (bit), self-attention over a constant is folded",
        "(detr), a transpose cancels (squeezebert), and shape arithmetic that layers share is tagged with the module",
        "common to them, so that only what a layer needs for itself is left (funnel, focalnet, levit, segformer,",
        "mobilevit with dynamic axes).",
        "",
    ]
    return [*lines, *(found or ["None."]), ""]


def _title(row: Row) -> str:
    return f"{row['name']}{', dynamic' if row['dynamic'] else ''}"


def _table(rows: Sequence[Row]) -> list[str]:
    columns = "architecture | nodes | direct | fused | inferred | none | root | modules run | tags | origins"
    lines = [f"| {columns} |", "|---|" + "---:|" * columns.count("|")]
    for row in rows:
        shares = [f"{100 * row[key] / row['nodes']:.1f}%" for key in ("direct", "fused", "inferred", "none", "at_root")]
        numbers = [row["executed"], row["tags"], row["origins"]]
        lines.append(f"| {_title(row)} | {row['nodes']} | {' | '.join(map(str, (*shares, *numbers)))} |")
    return [*lines, ""]
