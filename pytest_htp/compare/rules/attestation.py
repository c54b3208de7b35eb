"""attestation.contradicted: values that a module computed in PyTorch contradict its tag, and did not before."""

from __future__ import annotations

from pytest_htp.compare.context import Context
from pytest_htp.format.paths import Neighbourhood, ancestors, expand_pattern


def newly_contradicted(context: Context) -> set[str]:
    """Raw paths of the modules contradicted today and not in the baseline; empty where one was not measured."""
    before, after = context.before.attestation, context.after.attestation
    if not (before.measured and after.measured) or before.contradicted == after.contradicted:
        return set()
    renamed = context.modules.new_paths
    old, new = ([path for pattern in part.contradicted for path in expand_pattern(pattern)] for part in (before, after))
    return set(new) - {renamed.get(path, path) for path in old}


def _more_not_direct(context: Context) -> bool:
    old, new = (part.total_nodes - part.direct for part in (context.before.coverage, context.after.coverage))
    return bool(new > old)


def compare_attestation(context: Context) -> None:
    if context.reported("parity.failed"):
        return  # wrong values match no tag; where they begin is said there
    # A tag known to be moved or guessed is contradicted as a consequence; those findings say so.
    causes = set(context.modules_by_code.get("tags.moved", ()))
    if context.reported("coverage.dropped", "direct.dropped") and _more_not_direct(context):
        causes.update(pair.path for pair in context.modules.changed if pair.change.direct < 0)
    suspect = Neighbourhood(causes)
    contradicted = newly_contradicted(context)
    # What encloses a module holds its wrong values too; the innermost is named.
    enclosing = {outer for path in contradicted for outer in ancestors(path)}
    for path in sorted(contradicted - enclosing):
        if path not in suspect:
            context.report(
                "attestation.contradicted",
                "the values this module computes in PyTorch are not those of its nodes",
                module=path,
                before=False,
                after=True,
            )
