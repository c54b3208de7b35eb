"""From one edition of the baseline format to the next, one function a step: every file ever written stays readable.

A step takes a record of edition ``n`` as plain JSON values and gives one of edition ``n + 1``; what is equal in both
is shared, not copied. It may only rely on what edition ``n`` demanded and must not guess at what it did not
hold: :func:`pytest_htp.format.read.record_of` checks the result, so a step passes odd values on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Step = Callable[[Mapping[str, object]], dict[str, object]]


def to_edition_2(record: Mapping[str, object]) -> dict[str, object]:
    """Edition 1 said by ``"duplicates": null`` that the export was made without weights.

    ``fingerprint_version`` is 1 and no row has a ``program``: both are what the absence of the fields means.
    """
    migrated = {**record, "schema": "pytest-htp/baseline/2"}
    weights = record.get("weights")
    if isinstance(weights, Mapping) and "duplicates" in weights:
        duplicates = weights["duplicates"]
        migrated["weights"] = {
            "tied_apart": [],
            **weights,
            "kept": duplicates is not None,
            "duplicates": [] if duplicates is None else _with_copies(duplicates),
        }
    return migrated


def _with_copies(duplicates: object) -> object:
    """Edition 1 left out how often a group of parameters is stored where that was once for each name."""
    if not isinstance(duplicates, list):
        return duplicates
    return [
        {"copies": len(group["names"]), **group}
        if isinstance(group, Mapping) and isinstance(group.get("names"), list)
        else group
        for group in duplicates
    ]


STEPS: dict[int, Step] = {1: to_edition_2}
"""Edition → what makes the next one of it."""

EDITION = max(STEPS) + 1
