"""The monitor's options: what is known, what each accepts, what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from msgspec import convert

from pytest_htp.errors import HTPUsageError


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """Options of the console output.

    Attributes:
        max_tree_depth: levels of a module tree that are drawn (the root is level 1), at least 1.
        max_display_nodes: rows of a module tree that are drawn, at least 1.
        style_numbers: print measured numbers in bold cyan.
        batch_console: print everything once, when the monitor is finalized, instead of step by step.
        enable_cache: draw a module tree again only when something that shapes it changed.
    """

    max_tree_depth: int = 15
    max_display_nodes: int = 50
    style_numbers: bool = True
    batch_console: bool = False
    enable_cache: bool = True

    @classmethod
    def parse(cls, config: Mapping[str, object] | MonitorConfig | None) -> MonitorConfig:
        """Check a user's mapping. Raises HTPUsageError, which lists what is known."""
        if isinstance(config, cls):
            return config
        if config is None:
            return cls()
        if not isinstance(config, Mapping):
            raise HTPUsageError(f"the monitor's config must be a mapping, got {type(config).__name__}; {cls._known()}")
        defaults = {field.name: field.default for field in fields(cls)}
        for key, value in config.items():
            if key not in defaults:
                raise HTPUsageError(f"unknown key {key!r} in the monitor's config; {cls._known()}")
            wants_bool = isinstance(defaults[key], bool)
            fits = isinstance(value, bool) if wants_bool else type(value) is int and value >= 1
            if not fits:
                raise HTPUsageError(f"bad value {value!r} for {key!r} in the monitor's config; {cls._known()}")
        return convert(dict(config), cls)

    @classmethod
    def _known(cls) -> str:
        described = (
            f"{field.name} (True or False)" if isinstance(field.default, bool) else f"{field.name} (int >= 1)"
            for field in fields(cls)
        )
        return f"known: {', '.join(described)}"
