"""Real exports, those of ``tests/tagging``."""

from tests.tagging.htp_exported import exported

__all__ = ["exported"]
