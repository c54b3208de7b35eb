"""attestation.contradicted: values that a module computed in PyTorch contradict its tag, and did not
before."""

from __future__ import annotations

from pytest_htp.compare.context import Context
from pytest_htp.compare.paths import Neighbourhood
from pytest_htp.record.fold import expand_pattern


def compare_attestation(context: Context) -> None:
    before, after = context.before["attestation"], context.after["attestation"]
    if not (before["measured"] and after["measured"]) or before["contradicted"] == after["contradicted"]:
        return
    if context.reported("parity.failed"):
        return  # wrong values match no tag; where they begin is said there
    renamed = context.modules.new_paths
    known = {
        renamed.get(path, path) for pattern in before["contradicted"] for path in expand_pattern(pattern)
    }
    now = {path for pattern in after["contradicted"] for path in expand_pattern(pattern)}
    moved = Neighbourhood(context.modules_by_code.get("tags.moved", set()))
    for path in sorted(now - known):
        if path not in moved:
            context.report(
                "attestation.contradicted",
                "the values this module computes in PyTorch are not those of its nodes",
                module=path,
                before=False,
                after=True,
            )
