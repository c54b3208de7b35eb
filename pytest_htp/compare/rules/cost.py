"""flops.grown, flops.shrunk and tokens.differ: more to compute, and words that come out otherwise."""

from __future__ import annotations

from pytest_htp.compare.context import Context
from pytest_htp.format.paths import ancestors
from pytest_htp.format.record import ModuleRow

_SHARE = 0.01  # flops.grown in docs/reference/codes.md: by more than 1%
_SIZES = ("io.dim_fixed", "io.dim_freed", "io.dim_changed", "io.rank")


def compare_flops(context: Context) -> None:
    """The innermost modules whose count moved: those around them count their calls too. Other sizes of inputs are no
    growth.
    """
    if context.stage is not None or context.reported(*_SIZES):
        return
    modules = context.modules
    if not modules.after:
        return
    old_paths = {new: old for old, new in modules.new_paths.items()}
    moved: dict[str, tuple[int, int]] = {}
    for path, row in modules.after.items():
        before = modules.before.get(old_paths.get(path, path))
        counts = _flops(before), _flops(row)
        if counts[0] is None or counts[1] is None or counts[0] == counts[1]:
            continue
        if abs(counts[1] - counts[0]) > _SHARE * counts[0]:
            moved[path] = counts[0], counts[1]
    around = {outer for path in moved for outer in ancestors(path)}
    explained = {outer for path in (*modules.added, *modules.removed) for outer in ancestors(path)}
    for path, (old, new) in moved.items():
        if path in around:
            continue
        code = "flops.grown" if new > old else "flops.shrunk"
        share = f" ({100 * (new - old) / old:+.1f}%)" if old else ""
        why = " with its new or removed modules" if path in explained else ""
        context.report(code, f"{_in_words(old)} -> {_in_words(new)}{share}{why}", module=path, before=old, after=new)


def _flops(row: ModuleRow | None) -> int | None:
    """With attention's, which one operator and its parts count in different fields."""
    return None if row is None or row.flops is None else row.flops + (row.attention_flops or 0)


def _in_words(count: int) -> str:
    value, unit = float(count), "FLOP"
    for bigger in ("kFLOP", "MFLOP", "GFLOP", "TFLOP"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{value:.4g} {unit}"


def compare_tokens(context: Context) -> None:
    before, after = context.before.tokens, context.after.tokens
    if before is None or after is None:
        return
    if after.equal < min(before.equal, after.count):
        context.report(
            "tokens.differ",
            f"{before.equal} of {before.count} tokens agreed with PyTorch's, now {after.equal} of "
            f"{after.count}",
            before=before.equal, after=after.equal,
        )  # fmt: skip
