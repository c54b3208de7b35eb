"""weights.dtype: a module's parameters are stored in another element type."""

from __future__ import annotations

from pytest_htp.compare.changes import Change, bare, is_float
from pytest_htp.compare.context import Context
from pytest_htp.format.paths import Neighbourhood

# Bytes per element of ONNX types; unlisted ones count as 1.
_SIZES = {
    "DOUBLE": 8.0, "INT64": 8.0, "UINT64": 8.0, "COMPLEX64": 8.0, "COMPLEX128": 16.0, "FLOAT": 4.0,
    "INT32": 4.0, "UINT32": 4.0, "FLOAT16": 2.0, "BFLOAT16": 2.0, "INT16": 2.0, "UINT16": 2.0,
    "INT4": 0.5, "UINT4": 0.5, "FLOAT4E2M1": 0.5, "INT2": 0.25, "UINT2": 0.25, "FLOAT6E2M3": 0.75, "FLOAT6E3M2": 0.75,
}  # fmt: skip
# Up to this many elements (the pads of eight axes, as in describe/fingerprint.py) are likely constants of the code and
# no parameter: they come, go and change type whenever the code around them does.
FEW_ELEMENTS = 16
# Operators that convert between stored and computed types.
CONVERSIONS = frozenset({"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def compare_stored_dtypes(context: Context) -> None:
    before, after = (record.weights.parameters.dtypes for record in (context.before, context.after))
    parameters_changed = before != after
    found = [
        pair
        for pair in context.modules.changed
        if stored_dtype_move(pair.change, parameters_changed)
        and (parameters_changed or not _converts_within(pair.change))
    ]
    # A module that stores a constant or two has no parameters; its code follows those that have.
    parameters = [pair for pair in found if gained_elements(pair.change) >= FEW_ELEMENTS]
    moved: dict[str, set[str]] = {}
    for pair in parameters or found:
        old_types, new_types = pair.change.before.weights, pair.change.after.weights
        moved[pair.path] = {kind for kind in new_types if not old_types.get(kind)}
        context.report(
            "weights.dtype",
            f"weights stored as {', '.join(sorted(new_types))}, were {', '.join(sorted(old_types))}",
            module=pair.path,
            before=dict(old_types),
            after=dict(new_types),
        )
    _claim_same_move(context, moved)
    lost, new = before.keys() - after.keys(), after.keys() - before.keys()
    if lost and new and not (found or context.modules.added or context.modules.removed):
        message = f"parameters stored as {', '.join(sorted(new))}, were {', '.join(sorted(lost))}"
        context.report("weights.dtype", message, before=dict(before), after=dict(after))


def gained_elements(change: Change) -> float:
    """How many elements a module stores more, by element type: a tensor that changed type is gained in the new one."""
    return sum(count / _SIZES.get(kind, 1.0) for kind, count in change.weights.items() if count > 0)


def stored_dtype_move(change: Change, parameters_changed: bool) -> str | None:
    """The new element type if a tensor's worth of elements went from one type to another, else None."""
    if not change.weights:
        return None
    old, new = change.before.weights, change.after.weights
    gained = {kind: count for kind, count in change.weights.items() if count > 0 and not old.get(kind)}
    lost = sum(-count / _SIZES.get(kind, 1.0) for kind, count in change.weights.items() if count < 0)
    if not gained or not lost or not new:
        return None
    kind = max(gained, key=lambda kind: gained[kind])
    elements = gained[kind] / _SIZES.get(kind, 1.0)
    # What is packed counts by its bytes: four 2-bit elements at the most. The other way round it is unpacked.
    if not lost / 4 <= elements <= lost * 4:
        return None
    return kind if elements >= FEW_ELEMENTS or (parameters_changed and is_float(kind)) else None


def _converts_within(change: Change) -> bool:
    """Whether the module converts its input and computes in a new type: the exporter then stores its (unchanged)
    parameters converted, and dtype.internal says so.
    """
    return bool(change.new_floats) and any(
        bare(op) in ("Cast", "CastLike") and count > 0 for op, count in change.ops.items()
    )


def _claim_same_move(context: Context, moved: dict[str, set[str]]) -> None:
    """Changes nearby that only follow the weights: conversions, and values of the weights' new type."""
    if not moved:
        return
    near, new_types = Neighbourhood(moved), set().union(*moved.values())
    for path, pair in list(context.open.items()):
        conversions_only = all(bare(op) in CONVERSIONS for op in pair.change.ops)
        if path in near and conversions_only and new_types.issuperset(pair.change.new_floats):
            context.claim(path)
