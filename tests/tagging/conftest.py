"""The fixtures of this folder; they and their parts are in htp_exported."""

from tests.tagging.htp_exported import exported

__all__ = ["exported"]
