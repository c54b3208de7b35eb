"""Compiling the last graph for a device that is not there, and leading what ran where back to modules.

A target's compiler runs in a process of its own (:mod:`pytest_htp.targets.process`): it may crash, hang or print as
it likes. This room imports no vendor's package outside of that process.
"""

from pytest_htp.targets.result import HTPTarget
from pytest_htp.targets.target import Target

__all__ = ["HTPTarget", "Target"]
