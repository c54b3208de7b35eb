"""parity.failed and parity.worse. What was not measured on either side says nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_htp.compare.context import Context
from pytest_htp.record.fold import expand_pattern

# Contract: worse by more than two decades. Below single precision's own noise a decade means nothing.
_DECADES = 2
_NOISE = 1e-7


def compare_parity(context: Context) -> None:
    before, after = context.before["parity"], context.after["parity"]
    if not after["measured"]:
        return
    divergence = after["first_divergence"]
    module = expand_pattern(divergence)[0] if divergence is not None else None
    errors = {output["name"]: output for output in after["outputs"]}
    failed = after["failed"]
    if failed:
        old = {output["name"]: output for output in before["outputs"]} if before["measured"] else {}
        context.report(
            "parity.failed",
            "; ".join(_described(failed, errors))
            + (f" (with {', '.join(after['failed_on'])})" if after.get("failed_on") else "")
            + (", first in this module" if module is not None else ""),
            module=module,
            before={name: _abs(old.get(name)) for name in failed},
            after={name: _abs(errors.get(name)) for name in failed},
        )
    if not before["measured"]:
        return
    if divergence is not None and before["first_divergence"] is None and not failed:
        # By its definition no noise: off by ten times more than anything before it. The outputs may hide it.
        context.report(
            "parity.worse",
            f"an error of {after.get('divergence', 'unknown size')} (relative) enters here; the outputs stay within "
            "tolerance",
            module=module,
            before=None,
            after=after.get("divergence"),
        )
    worse = {
        output["name"]: (output, errors[output["name"]])
        for output in before["outputs"]
        if output["name"] in errors and output["name"] not in failed and _worse(output, errors[output["name"]])
    }
    if worse and not context.reported("parity.worse"):
        context.report(
            "parity.worse",
            "; ".join(f"output {name}: {_abs(old)} -> {_abs(new)}" for name, (old, new) in list(worse.items())[:4])
            + (f"; {len(worse) - 4} more" if len(worse) > 4 else ""),
            module=module,
            before={name: _abs(old) for name, (old, _) in worse.items()},
            after={name: _abs(new) for name, (_, new) in worse.items()},
        )


def _described(failed: Sequence[str], errors: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """``output logits differs by 1e-02``; outputs that differ equally are named together."""
    by_size: dict[str | None, list[str]] = {}
    for name in failed:
        by_size.setdefault(_abs(errors.get(name)), []).append(name)
    for size, names in by_size.items():
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        one = len(names) == 1
        how = f"differ{'s' if one else ''} by {size}"
        if size == "inf":
            how = f"{'has' if one else 'have'} another shape, no value, or infinities"
        yield f"{'output' if one else 'outputs'} {shown} {how}"


def _abs(output: Mapping[str, Any] | None) -> str | None:
    return output["max_abs"] if output else None


def _worse(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    absolute, relative = (_decades(old[key], new[key]) for key in ("max_abs", "max_rel"))
    # Relative differences of values near zero jump about; they count when the absolute one grew too.
    return absolute > _DECADES or (relative > _DECADES and absolute > 0)


def _decades(old: str | None, new: str | None) -> float:
    if old is None or new is None:
        return 0.0
    before, after = max(float(old), _NOISE), max(float(new), _NOISE)
    if math.isinf(before) or math.isinf(after):
        return 0.0 if math.isinf(before) else math.inf
    return round(math.log10(after) - math.log10(before), 6)
