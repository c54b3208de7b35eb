"""``htp_baseline_variant``: tool names, templates, fixed names."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from pytest_htp.baseline.variant import resolve_variant
from pytest_htp.errors import HTPUsageError

TORCH = ".".join(version("torch").split(".")[:2])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("  ", ""),
        ("torch", f"torch-{TORCH}"),
        (" torch ", f"torch-{TORCH}"),
        ("t{torch}x", f"t{TORCH}x"),
        ("nightly", "nightly"),
    ],
)
def test_names(template: str, expected: str) -> None:
    assert resolve_variant(template) == expected


@pytest.mark.parametrize("template", ["{no-such-package}", "{}", "{../..}"])
def test_what_is_not_installed_is_refused(template: str) -> None:
    with pytest.raises(HTPUsageError, match=r"no package .* is installed; use one of torch"):
        resolve_variant(template)
