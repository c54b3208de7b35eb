"""What a record knows of a module beside its nodes: cost, precision, placement, as data and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pytest_htp.format.paths import expand_pattern
from pytest_htp.format.record import Record
from pytest_htp.text import size

# What Model Explorer may colour nodes by.
OVERLAYS = ("tag", "evidence", "sqnr", "placement")
COSTS: Final = ("flops", "attention_flops", "params_bytes", "activation_bytes")
_PREFIXES = ("", "k", "M", "G", "T", "P")


class ModuleFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one module; what is not known is left out where it is written.

    Attributes:
        sqnr: in dB, by the last stage that measured it.
        placement: device → nodes, of the last target.
        operators: own nodes by operator.
    """

    flops: int | None = None
    attention_flops: int | None = None
    params_bytes: int | None = None
    activation_bytes: int | None = None
    sqnr: int | None = None
    placement: Mapping[str, int] = {}
    operators: Mapping[str, int] = {}


def module_facts(record: Record) -> dict[str, ModuleFacts]:
    """Raw module path → what is known of it."""
    found: dict[str, ModuleFacts] = {}
    for row in record.modules:
        found.update(dict.fromkeys(expand_pattern(row.path), ModuleFacts(**{key: getattr(row, key) for key in COSTS})))

    def add(pattern: str, **fact: object) -> None:
        for path in expand_pattern(pattern):
            found[path] = replace(found.get(path, ModuleFacts()), **fact)

    for stage in record.stages:
        for measured in stage.quality.modules if stage.quality is not None else ():
            if measured.sqnr is not None:
                add(measured.path, sqnr=measured.sqnr)
    for target in record.targets[-1:]:
        for placed in target.placement:
            add(placed.path, placement=placed.devices)
    return found


def in_words(facts: ModuleFacts | None) -> tuple[str, ...]:
    """``2 Reshape, Gemm``, ``2.1 MFLOP``, ``16 KiB parameters``, ``8 KiB out``, ``SQNR 42 dB``, ``qnn 5``.

    Zeros say nothing.
    """
    if facts is None:
        return ()
    counts = facts.operators.items()
    words = [", ".join(f"{count} {name}" if count > 1 else name for name, count in counts)] if counts else []
    if flops := (facts.flops or 0) + (facts.attention_flops or 0):
        words.append(f"{_scaled(flops)}FLOP")
    if facts.params_bytes:
        words.append(f"{size(facts.params_bytes)} parameters")
    if facts.activation_bytes:
        words.append(f"{size(facts.activation_bytes)} out")
    if facts.sqnr is not None:
        words.append(f"SQNR {facts.sqnr} dB")
    words += [f"{device} {count}" for device, count in sorted(facts.placement.items())]
    return tuple(words)


def _scaled(number: float) -> str:
    power = 0
    while number >= 1000 and power < len(_PREFIXES) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g} {_PREFIXES[power]}"
