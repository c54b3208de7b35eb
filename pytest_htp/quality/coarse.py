"""Attestation within eight bits: a value that is a module's result, made by a node tagged with that module.

At this precision a value within tolerance of one tensor is so of several (a residual sum and its norm), so the checks
of :mod:`pytest_htp.parity.attestation` would contradict right tags. So modules are attested or unmatched here, never
contradicted.
"""

from __future__ import annotations

from typing import Any

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.format.paths import lies_in
from pytest_htp.parity.reasons import FOLDED, ROOT, UNTAGGED, VALUES_DIFFER
from pytest_htp.quality.modules import ALIKE
from pytest_htp.quality.result import Quality
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging


def attested_coarsely(quality: Quality, hierarchy: Hierarchy, tagging: Tagging) -> dict[str, Any]:
    """``{"measured", "attested", "contradicted", "unmatched"}`` as of any attestation."""
    makers = {value.name: facts for facts in tagging.nodes for value in facts.node.outputs if not facts.graph}
    verdicts: dict[str, str] = {}
    for path in dict.fromkeys(call.path for call in hierarchy.calls):
        found = quality.details.get(path)
        if not path:
            verdicts[path] = ROOT
        elif found is None:
            verdicts[path] = quality.undefined.get(path, VALUES_DIFFER)
        elif found.sqnr < ALIKE:
            verdicts[path] = VALUES_DIFFER
        else:
            verdicts[path] = _made_inside(path, makers.get(found.at))
    return {
        "measured": True,
        "attested": sum(not reason for reason in verdicts.values()),
        "contradicted": [],
        "unmatched": [{"module": path, "reason": reason} for path, reason in verdicts.items() if reason],
    }


def _made_inside(path: str, maker: NodeFacts | None) -> str:
    """Why a node doesn't attest a module, "" where it does."""
    if maker is None or maker.path is None:
        return UNTAGGED
    return "" if any(lies_in(origin, path) for origin in (maker.path, *maker.origins)) else FOLDED
