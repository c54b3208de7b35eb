"""A finding, and what a comparison returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_htp.compare.codes import CODES, is_plugin_code
from pytest_htp.compare.verdicts import VERDICTS, at_or_above, severity, worst
from pytest_htp.errors import HTPUsageError

# How a finding begins that says why all the others are there.
OTHER_MODEL = "the test now exports"
KEYS = ("code", "verdict", "module", "message", "before", "after", "stage")
_RANK = {code: position for position, code in enumerate(CODES)}


class Finding(dict[str, Any]):
    """One classified difference: a plain dict with exactly seven keys, readable as attributes too.

    ``module`` is a module path (root ``""``), a folded pattern, or None where no module is concerned; ``stage``
    the name of the stage or target it was found in, None for the export itself.
    """

    code: str
    verdict: str
    module: str | None
    message: str
    before: Any
    after: Any
    stage: str | None

    def __init__(
        self, code: str, message: str, *, module: str | None = None, before: object = None, after: object = None,
        verdict: str | None = None, stage: str | None = None,
    ) -> None:  # fmt: skip
        if is_plugin_code(code):
            if verdict not in VERDICTS[:-1]:
                raise HTPUsageError(
                    f"a finding {code} needs a verdict, one of {', '.join(VERDICTS[:-1])}; got {verdict!r}"
                )
        elif code not in CODES:
            raise HTPUsageError(
                f"unknown finding code {code!r}; plugins use 'x-vendor.what', known: {', '.join(CODES)}"
            )
        values = (code, verdict or CODES[code].verdict, module, message, before, after, stage)
        super().__init__(zip(KEYS, values, strict=True))

    def __getattr__(self, name: str) -> Any:
        if name in KEYS:
            return self[name]
        raise AttributeError(f"a finding has no {name!r}; it has {', '.join(KEYS)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"findings are read-only, {name!r} can't be set")

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (dict(self),)  # values as arguments, so that a deep copy copies them

    @property
    def cause(self) -> str:
        """Who can cause findings of this code: ``exporter`` or ``model`` (see Code.cause)."""
        known = CODES.get(self["code"])
        return known.cause if known is not None else "model"


def _restore(values: Mapping[str, Any]) -> Finding:
    return Finding(**values)


def finding_order(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key: worst verdict first, then the order of codes; the rest keeps the natural order it came in."""
    return -severity(finding["verdict"]), _RANK.get(finding["code"], len(_RANK))


@dataclass(frozen=True)
class Comparison:
    """The differences between a baseline and today's export.

    Attributes:
        findings: worst first, in a deterministic order.
        toolchain_changed: ``(package, version before, version now)``; None where it is absent.
    """

    findings: tuple[Finding, ...] = ()
    toolchain_changed: tuple[tuple[str, str | None, str | None], ...] = ()

    @property
    def verdict(self) -> str:
        """The worst verdict of all findings, ``unchanged`` without any."""
        return worst(finding["verdict"] for finding in self.findings)

    def at_or_above(self, verdict: str) -> list[Finding]:
        """Findings at least as bad as ``verdict``. Raises HTPUsageError for an unknown one."""
        severity(verdict)
        return [finding for finding in self.findings if at_or_above(finding["verdict"], verdict)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: ``{"verdict", "findings", "toolchain_changed": [{"name", "before", "after"}]}``."""
        changed = [{"name": name, "before": old, "after": new} for name, old, new in self.toolchain_changed]
        return {"verdict": self.verdict, "findings": [dict(f) for f in self.findings], "toolchain_changed": changed}
