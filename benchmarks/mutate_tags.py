"""How many wrong tags do the output check and the boundary check notice?

    python benchmarks/mutate_tags.py [--per-kind N] [--models a,b] [--dynamic]

Each model is exported and run once. Then the tag of one node at a time is made wrong, and attestation is
drawn again from the same values. Four kinds of mutation: any other executed module (``random``), the same
module of another layer (``layer``), a module called by the same caller (``sibling``), the caller
(``parent``). A mutation is noticed if a module is contradicted that was not before. Nodes whose values depend
on shapes alone carry nothing to check and are not mutated; they are counted.

Expected: at least 99% of all mutations noticed (``parent``: 97%), nothing contradicted without one.
"""

from __future__ import annotations

import argparse
import logging
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from _measure import report
from parity_zoo import Prepared, names, prepared_models

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.format.paths import path_template
from pytest_htp.parity.attestation import attest
from pytest_htp.parity.evidences import Evidences
from pytest_htp.parity.flow import Placement
from pytest_htp.parity.measure import examine
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging

KINDS = ("random", "layer", "sibling", "parent")


class Wrong:
    """For each kind, the modules that a node could wrongly be given to."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.executed = hierarchy.executed
        self.parents: dict[str, str] = {}
        for call in hierarchy.calls:
            if call.parent is not None:
                self.parents.setdefault(call.path, hierarchy.calls[call.parent].path)

    def choices(self, kind: str, path: str) -> list[str]:
        if kind == "random":
            found = self.executed
        elif kind == "layer":
            found = [other for other in self.executed if path_template(other) == path_template(path)]
        elif kind == "sibling":
            found = [other for other, parent in self.parents.items() if path and parent == self.parents[path]]
        else:
            found = [self.parents[path]] if path else []
        return [other for other in found if other != path]


@contextmanager
def mutated(facts: NodeFacts, path: str) -> Iterator[None]:
    """Give a node a wrong tag, as if the exporter had recorded it, and take it back."""
    before = facts.path, facts.origins, facts.call
    facts.path, facts.origins, facts.call = path, (path,), 0
    yield
    facts.path, facts.origins, facts.call = before


def noticed(evidences: Evidences, tagging: Tagging, clean: set[str]) -> bool:
    placement = Placement(evidences.flow, tagging, evidences.hierarchy)
    return bool(set(attest(evidences, placement).contradicted) - clean)


def measure(prepared: Prepared, *, per_kind: int, generator: random.Random) -> dict[str, Any]:
    request = prepared.request
    examined = examine(request)
    evidences = examined.evidences(request.hierarchy)
    clean = set(attest(evidences, examined.placement).contradicted)
    direct = [facts for facts in examined.placement.facts if facts.evidence is Evidence.DIRECT]
    eligible = [facts for facts in direct if not examined.flow.shape_only.issuperset(facts.node.outputs)]
    wrong = Wrong(request.hierarchy)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    missed: list[str] = []
    for kind in KINDS:
        choices_of = [(facts, wrong.choices(kind, facts.path or "")) for facts in eligible]
        places = [(facts, choices) for facts, choices in choices_of if choices]
        for facts, choices in generator.sample(places, min(per_kind, len(places))):
            path = generator.choice(choices)
            true = facts.path
            with mutated(facts, path):
                seen = noticed(evidences, request.tagging, clean)
            counts[kind]["noticed" if seen else "missed"] += 1
            if not seen:
                missed.append(f"{facts.node.op_type} {true} -> {path}")
    return {
        "model": prepared.name,
        "falsely_contradicted": sorted(clean),
        "nodes": len(examined.flow.nodes),
        "shape_only": len(direct) - len(eligible),
        "kinds": {kind: dict(count) for kind, count in counts.items()},
        "missed": missed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--per-kind", type=int, default=40, help="mutations of each kind and model")
    parser.add_argument("--models", default="", help="comma-separated names; all families otherwise")
    parser.add_argument("--dynamic", action="store_true", help="export with dynamic axes")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    generator = random.Random(0)
    chosen = options.models.split(",") if options.models else names(plain=False)
    models = [
        measure(prepared, per_kind=options.per_kind, generator=generator)
        for prepared in prepared_models(chosen, dynamic=options.dynamic)
    ]
    totals = {kind: Counter[str]() for kind in KINDS}
    for model in models:
        for kind in KINDS:
            totals[kind].update(model["kinds"][kind])
    everything = sum(totals.values(), Counter[str]())
    report(
        {
            "models": models,
            "kinds": {kind: {**count, "percent": percent(count)} for kind, count in totals.items()},
            "mutations": everything.total(),
            "noticed_percent": percent(everything),
            "falsely_contradicted": sum(len(model["falsely_contradicted"]) for model in models),
        }
    )


def percent(count: Counter[str]) -> float:
    return round(100 * count["noticed"] / max(count.total(), 1), 2)


if __name__ == "__main__":
    main()
