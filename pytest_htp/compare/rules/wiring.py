"""Fingerprints that changed only because a neighbour did: the neighbour's finding says it."""

from __future__ import annotations

from pytest_htp.compare.changes import Change
from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.attestation import newly_contradicted
from pytest_htp.format.paths import Neighbourhood

# A fingerprint names children by path and separates own values from others', so these change it from outside.
_CAUSES = ("tags.moved", "controlflow.added", "fusion.lost", "fusion.gained")


def claim_rewired(context: Context) -> None:
    """Claim modules with the same operators and types near one that came, went, or whose tags went wrong."""
    modules = context.modules
    causes = {*modules.added, *modules.removed}
    for move in modules.moves:
        causes.update((move.old, move.new))
    for code in _CAUSES:
        causes.update(context.modules_by_code.get(code, ()))
    causes.update(newly_contradicted(context))
    # Nodes without their tag no longer count for the module they belong to, and count again once they have it back.
    causes.update(pair.path for pair in modules.changed if pair.path not in context.open and pair.change.direct)
    # Another class with other operators, or a module that stopped or began to compute: what passes through it now
    # comes from elsewhere. The root encloses everything and would hide it.
    causes.update(pair.path for pair in modules.changed if pair.path and _is_another(pair.change))
    near = Neighbourhood(causes)
    for path, pair in list(context.open.items()):
        if not pair.change.ops and not pair.change.dtypes and path in near and path not in context.words:
            context.claim(path)


def _is_another(change: Change) -> bool:
    stopped_or_began = (change.before.nodes == 0) != (change.after.nodes == 0)
    return bool(change.ops) and (change.class_changed or stopped_or_began)
