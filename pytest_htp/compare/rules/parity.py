"""parity.failed and parity.worse. What was not measured on either side says nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from pytest_htp.compare.context import Context
from pytest_htp.format.paths import expand_pattern
from pytest_htp.format.record import OutputParityRow, TensorRow
from pytest_htp.text import some

_DECADES = 2  # parity.worse in docs/reference/codes.md: by over two
# Decades below which a difference is rounding noise and a record never goes, by the output's element type;
# types that aren't listed are exact. parity/tolerance.py says where the numbers come from.
NOISE = {
    "DOUBLE": 1e-08, "COMPLEX128": 1e-08, "FLOAT": 1e-05, "COMPLEX64": 1e-05, "FLOAT16": 1e-02, "BFLOAT16": 1e-01,
}  # fmt: skip


def compare_parity(context: Context) -> None:
    records = context.before, context.after
    before, after = (record.parity for record in records)
    if not after.measured:
        return
    divergence = after.first_divergence
    module = expand_pattern(divergence)[0] if divergence is not None else None
    errors = {output.name: output for output in after.outputs}
    ran_as = {output.name: output.ran_as for output in after.outputs if output.ran_as is not None}
    failed = after.failed
    rows = {output.name: output for output in context.after.outputs}
    undeclared = [
        f"output {name} is declared as {_dims(rows[name].dims or ())} and runs as {_dims(ran_as[name])}"
        for name in failed
        if name in rows and name in ran_as
    ]
    differing = [name for name in failed if name not in ran_as]
    if failed and not (module in (None, "") and outputs_exchanged(context)):
        old = {output.name: output for output in before.outputs} if before.measured else {}
        context.report(
            "parity.failed",
            "; ".join([*_described(differing, errors), *undeclared])
            + (f" (with {', '.join(after.failed_on)})" if after.failed_on else "")
            + (", first in this module" if module is not None else "")
            + ("; no node could be led back to a module: was this made of the export?" if _is_foreign(context) else ""),
            module=module if module is not None else _maker(rows.get(failed[0])),
            before={name: _abs(old.get(name)) for name in failed},
            after={name: _abs(errors.get(name)) for name in failed},
        )
    if not before.measured:
        return
    if divergence is not None and before.first_divergence is None and not failed:
        # By its definition no noise: off by ten times more than anything before it. The outputs may hide it.
        context.report(
            "parity.worse",
            f"an error of {after.divergence or 'unknown size'} (relative) enters here; the outputs stay within "
            "tolerance",
            module=module,
            before=None,
            after=after.divergence,
        )
    old_types, new_types = ({output.name: output.dtype for output in record.outputs} for record in records)
    worse = {
        name: (output, errors[name])
        for output in before.outputs
        if (name := output.name) in errors
        and name not in failed
        and _worse(output, errors[name], old_types.get(name), new_types.get(name))
    }
    if worse and not context.reported("parity.worse"):
        context.report(
            "parity.worse",
            some(
                [f"output {name}: {_abs(old)} -> {_abs(new)}" for name, (old, new) in worse.items()],
                4,
                between="; ",
                rest="; {} more",
            ),
            module=module,
            before={name: _abs(old) for name, (old, _) in worse.items()},
            after={name: _abs(new) for name, (_, new) in worse.items()},
        )


def outputs_exchanged(context: Context) -> bool:
    """Whether outputs came in another order: what is compared with PyTorch by place is another value then."""
    return any(draft.code == "io.reordered" and "output" in draft.before for draft in context.drafts)


def _is_foreign(context: Context) -> bool:
    """Whether a stage's graph, of which nodes are tagged before, has no tag."""
    coverage = context.after.coverage
    return context.export is not None and coverage.none == coverage.total_nodes > 0


def _described(failed: Sequence[str], errors: Mapping[str, OutputParityRow]) -> Iterator[str]:
    """``output logits differs by 1e-02``; outputs that differ equally are named together."""
    by_size: dict[str | None, list[str]] = {}
    for name in failed:
        by_size.setdefault(_abs(errors.get(name)), []).append(name)
    for size, names in by_size.items():
        one = len(names) == 1
        how = f"differ{'s' if one else ''} by {size}"
        if size == "inf":
            how = f"{'has' if one else 'have'} another shape, no value, or infinities"
        yield f"{'output' if one else 'outputs'} {some(names, 4)} {how}"


def _dims(dims: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def _maker(output: TensorRow | None) -> str | None:
    """The module whose node makes an output."""
    made_by = output.module if output is not None else None
    return expand_pattern(made_by)[0] if made_by is not None else None


def _abs(output: OutputParityRow | None) -> str | None:
    return output.max_abs if output else None


def _worse(old: OutputParityRow, new: OutputParityRow, old_type: str | None, new_type: str | None) -> bool:
    noise = NOISE.get(new_type or "", 0.0)
    # Another element type has a floor of its own: what was below that could not have been distinguished from it.
    least = noise if old_type != new_type else 0.0
    absolute = _decades(old.max_abs, new.max_abs, least, noise)
    relative = _decades(old.max_rel, new.max_rel, least, noise)
    if all(value is not None and float(value) == noise for value in (old.max_abs, old.max_rel)):
        # The floor stands for both, whatever the magnitude of the tensor: a decade up may be many in the absolute one.
        return relative > _DECADES
    # Relative differences of values near zero jump about; they count when the absolute one grew too.
    return absolute > _DECADES or (relative > _DECADES and absolute > 0)


def _decades(old: str | None, new: str | None, least: float, noise: float) -> float:
    """By how many decades a difference grew, 0 where it didn't; beyond any number from zero to more than noise."""
    if old is None or new is None:
        return 0.0
    before, after = max(float(old), least), float(new)
    if after <= before or (before == 0 and after <= noise):
        return 0.0
    if before == 0 or math.isinf(after):
        return math.inf
    return round(math.log10(after) - math.log10(before), 6)
