"""``htp_policy``: other verdicts for some codes, ``ops.changed:ignore opset.changed:drift``."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_htp.compare.codes import CODES, is_plugin_code
from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.errors import HTPUsageError

IGNORE = "ignore"


@dataclass(frozen=True)
class Policy:
    """Verdict per code where it differs from the default; ``ignore`` drops the finding."""

    overrides: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read ``code:verdict`` pairs separated by white space or commas.

        Raises:
            HTPUsageError: an unknown code or verdict, or a code given twice differently; lists what is known.
        """
        overrides: dict[str, str] = {}
        for pair in text.replace(",", " ").split():
            code, colon, verdict = pair.partition(":")
            if not colon:
                raise HTPUsageError(f"htp_policy: {pair!r} must be code:verdict, like 'ops.changed:ignore'")
            if code not in CODES and not is_plugin_code(code):
                raise HTPUsageError(f"htp_policy: unknown code {code!r}; known: {', '.join(CODES)}")
            if verdict != IGNORE and verdict not in VERDICTS[:-1]:
                known = ", ".join((*VERDICTS[:-1], IGNORE))
                raise HTPUsageError(f"htp_policy: unknown verdict {verdict!r} for {code}; known: {known}")
            if overrides.setdefault(code, verdict) != verdict:
                raise HTPUsageError(f"htp_policy: {code} is given twice, as {overrides[code]!r} and {verdict!r}")
        return cls(overrides)

    def verdict(self, code: str) -> str:
        """The verdict of a code, or ``ignore``."""
        return self.overrides.get(code, CODES[code].verdict)
