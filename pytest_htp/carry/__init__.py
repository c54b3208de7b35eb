"""Tags of a graph onto another graph that some tool made of it; nothing here knows which tool."""

from pytest_htp.carry.carry import carry

__all__ = ["carry"]
