"""What ``htp_export.for_generation`` returns, and what it needs to generate tokens."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from pytest_htp.exporter import HTPExport


class GenerationExports(dict[str, "HTPExport"]):
    """Component → its export.

    Attributes:
        tokens_equal: greedy tokens that agree with PyTorch's before the first difference; None if not asked for.
    """

    tokens_equal: int | None = None


def check_count(tokens: object) -> None:
    """Raises: HTPUsageError: ``tokens`` is no number of tokens."""
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise HTPUsageError(f"tokens= is how many tokens to generate, an integer of at least 1; got {tokens!r}")


def check_components(components: Collection[str], weights: str) -> None:
    """Raises: HTPUsageError: these components can't generate by themselves."""
    if weights == "none":
        raise HTPUsageError("tokens= needs weights to generate by; leave out weights='none' or tokens")
    if set(components) != {"prefill", "decode"}:
        raise HTPUsageError(
            f"tokens= runs decoder-only models (prefill and decode), and this one has {', '.join(components)}; "
            "leave tokens out: each component is checked against PyTorch by itself"
        )
