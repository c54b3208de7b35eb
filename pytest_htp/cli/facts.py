"""What a record knows of a module beside its nodes: cost, precision, placement, as data and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_htp.format.paths import expand_pattern
from pytest_htp.text import size

# What Model Explorer may colour nodes by.
OVERLAYS = ("tag", "evidence", "sqnr", "placement")
_PREFIXES = ("", "k", "M", "G", "T", "P")


def module_facts(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Raw module path → what is known of it: ``flops``, ``params_bytes``, ``activation_bytes``, ``sqnr`` (dB, by the
    last stage that measured it) and ``placement`` (device → nodes, of the last target).
    """
    found: dict[str, dict[str, Any]] = {}
    for row in record["modules"]:
        for path in expand_pattern(row["path"]):
            kept = {key: row.get(key) for key in ("flops", "attention_flops", "params_bytes", "activation_bytes")}
            found[path] = {key: value for key, value in kept.items() if value is not None}
    for stage in record.get("stages", ()):
        for row in (stage.get("quality") or {}).get("modules", ()):
            for path in expand_pattern(row["path"]):
                if row.get("sqnr") is not None:
                    found.setdefault(path, {})["sqnr"] = row["sqnr"]
    for target in record.get("targets", ())[-1:]:
        for row in target.get("placement", ()):
            for path in expand_pattern(row["path"]):
                found.setdefault(path, {})["placement"] = dict(row["devices"])
    return found


def in_words(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """``2 Reshape, Gemm``, ``2.1 MFLOP``, ``16 KiB parameters``, ``8 KiB out``, ``SQNR 42 dB``, ``qnn 5``.

    Zeros say nothing.
    """
    counts = facts.get("operators", {}).items()
    words = [", ".join(f"{count} {name}" if count > 1 else name for name, count in counts)] if counts else []
    if flops := facts.get("flops", 0) + facts.get("attention_flops", 0):
        words.append(f"{_scaled(flops)}FLOP")
    if facts.get("params_bytes"):
        words.append(f"{size(facts['params_bytes'])} parameters")
    if facts.get("activation_bytes"):
        words.append(f"{size(facts['activation_bytes'])} out")
    if "sqnr" in facts:
        words.append(f"SQNR {facts['sqnr']} dB")
    words += [f"{device} {count}" for device, count in sorted(facts.get("placement", {}).items())]
    return tuple(words)


def _scaled(number: float) -> str:
    power = 0
    while number >= 1000 and power < len(_PREFIXES) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g} {_PREFIXES[power]}"
