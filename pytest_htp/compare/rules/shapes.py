"""Operators that only follow a change of the graph's contract; the io.* finding says it already."""

from __future__ import annotations

from pytest_htp.compare.changes import Change, bare, is_float
from pytest_htp.compare.context import Context
from pytest_htp.format.tensors import list_tensors

# Operators that read, build or apply shapes and masks; they may produce floats without computing any.
_SHAPE_OPS = frozenset((
    "Shape", "Size", "Gather", "GatherND", "GatherElements", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Expand",
    "Slice", "Range", "ConstantOfShape", "Constant", "Identity", "Split", "Tile", "Pad", "Where", "Transpose",
    "Flatten",
))  # fmt: skip
# Arithmetic of sizes and masks, where its results are integers or booleans.
_INDEX_OPS = frozenset((
    "Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Equal", "And", "Or", "Not", "Less", "LessOrEqual", "Greater",
    "GreaterOrEqual", "Cast", "CastLike", "CumSum", "Trilu", "ReduceMin", "ReduceMax", "ReduceProd", "ReduceSum",
    "Abs", "Neg", "Sign", "Ceil", "Floor",
))  # fmt: skip
_AXES = ("io.dim_fixed", "io.dim_freed", "io.dim_changed", "io.dim_symbol")
_TENSORS = ("io.input_added", "io.input_removed", "io.output_added", "io.output_removed", "io.rank", "io.dtype")


def claim_shape_code(context: Context) -> None:
    """With axes fixed or freed, or inputs come and gone, code that computes shapes and masks changes too."""
    removed = context.reported("io.input_removed")
    if context.reported(*_AXES, "io.input_added") or removed:
        for path, pair in list(context.open.items()):
            change = pair.change
            follows = follows_shapes(change) if change.ops else not change.dtypes
            if follows or (removed and change.only_losses and mask_code_only(change)):
                context.claim(path)


def mask_code_only(change: Change) -> bool:
    """Whether every operator that came or went is of the kinds that compute shapes and masks."""
    return all(op in _SHAPE_OPS or op in _INDEX_OPS for op in change.ops)


def follows_shapes(change: Change) -> bool:
    """Whether operators changed only in computing shapes, indices and masks, and none in computing with floats."""
    shape = index = 0
    for op, count in change.ops.items():
        if op in _SHAPE_OPS:
            shape += abs(count)
        elif op in _INDEX_OPS:
            index += abs(count)
        else:
            return False
    floats = sum(abs(count) for kind, count in change.dtypes.items() if is_float(kind))
    others = sum(abs(count) for kind, count in change.dtypes.items() if not is_float(kind))
    return floats <= shape and index <= others and not change.new_floats


def claim_output_code(context: Context) -> None:
    """Modules that computed nothing but a removed output stop computing, those of a new one begin."""
    for code, alone in (("io.output_removed", "after"), ("io.output_added", "before")):
        if not context.reported(code):
            continue
        for path, pair in list(context.open.items()):
            change = pair.change
            row = change.after if alone == "after" else change.before
            one_way = change.only_losses if alone == "after" else change.only_gains
            if one_way and not row.nodes:
                context.claim(path)


def claim_input_types(context: Context) -> None:
    """With an input of another element type, the fingerprint of what reads it changes, and the type of integers
    made of it. A module that computes in another floating-point type is not explained by it.
    """
    moves = _moved_input_types(context)
    if not moves:
        return
    integers = {kind for move in moves for kind in move if not any(map(is_float, move))}
    for path, pair in list(context.open.items()):
        change = pair.change
        if not change.ops and not change.nodes and integers.issuperset(change.dtypes):
            context.claim(path)


def _moved_input_types(context: Context) -> set[tuple[str, str]]:
    """The element types before and after of all inputs of another type, None (unknown) aside."""
    inputs = {tensor.name for tensor in list_tensors(context.after.inputs)}
    return {
        (draft.before[name], draft.after[name])
        for draft in context.drafts
        if draft.code == "io.dtype"
        for name in inputs.intersection(draft.after)
        if draft.before[name] and draft.after[name]
    }


def claim_io_nodes(context: Context) -> None:
    """An input needs a consumer, an output or another rank a producer: as many nodes as tensors changed are theirs."""
    tensors = 0
    for draft in context.drafts:
        if draft.code in _TENSORS:
            tensors += len(draft.after or draft.before or ())
    changes = [pair.change for pair in context.open.values()] if tensors else []
    if changes and sum(change.amount for change in changes) <= tensors:
        context.claim(*context.open)


def casts_follow_io(context: Context, paths: list[str]) -> bool:
    """Whether the Casts in these modules are no more than the inputs and outputs of another element type."""
    for draft in context.drafts:
        if draft.code == "io.dtype":
            types = {*draft.before.values(), *draft.after.values()}
            pairs = [context.open[path].change for path in paths]
            casts = sum(abs(count) for change in pairs for op, count in change.ops.items() if bare(op) == "Cast")
            return casts <= len(draft.after) and all(types.issuperset(change.dtypes) for change in pairs)
    return False
