"""Hooks for other plugins and conftest files; see ``docs/how-to/extend.md``.

Registered by the plugin. They run in pytest only: :class:`pytest_htp.HTPExporter` outside of it knows none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import nn

    from pytest_htp.exporter.result import HTPExport
    from pytest_htp.targets import Target


@pytest.hookspec(firstresult=True)
def pytest_htp_make_inputs(model: nn.Module, config: pytest.Config) -> Any:
    """Make the inputs of an export whose test gave none.

    Args:
        model: the module that will be exported; must come back as it is.
        config: pytest's.

    Returns:
        what ``htp_export`` takes as ``inputs``: a mapping, a tuple, a tensor, descriptions such as
        ``"int64[batch=2, seq=16]"`` included; None leaves it to the next plugin and finally to pytest-htp.
    """


@pytest.hookspec
def pytest_htp_findings(
    baseline: Mapping[str, Any] | None, current: Mapping[str, Any], export: HTPExport
) -> Iterable[Mapping[str, Any]] | None:
    """Findings of your own, beside those of pytest-htp.

    Called for every comparison, with ``baseline=None`` for what is wrong whatever the baseline says: only
    such findings keep a baseline from being written. Must be pure: an export may be compared more than once.

    Args:
        baseline: the stored record; not to be changed.
        current: today's record; not to be changed.
        export: the export, with its graph, tags and files.

    Returns:
        :class:`pytest_htp.Finding` objects or mappings with ``code``, ``verdict`` and ``message`` (and
        ``module``, ``before``, ``after``). Codes are ``x-vendor.what``.
    """


@pytest.hookspec
def pytest_htp_report_sections(result: Mapping[str, Any]) -> Iterable[tuple[str, str]] | None:
    """Text of your own for an export's part of the report, and for the test's sections on the terminal.

    Args:
        result: the export's result as in report.json; not to be changed.

    Returns:
        pairs of title and plain text. Both are escaped where they are shown.
    """


@pytest.hookspec
def pytest_htp_targets() -> Iterable[Target] | None:
    """Targets of your own, which tests then name like those of pytest-htp: ``targets=["mychip"]``.

    Returns:
        :class:`pytest_htp.Target` objects: an execution provider (``provider=``, ``library=``), or a compiler of your
        own (``compiler="package.module:function"``).
    """


@pytest.hookspec(firstresult=True)
def pytest_htp_module_name(module: nn.Module, path: str) -> str | None:
    """The name that tags give a module's class, such as ``Linear[int8]``.

    Called for every registered module of an export. Names of modules with the same path must not depend on
    anything but the model.

    Args:
        module: must come back as it is.
        path: as in ``model.named_modules()``, ``""`` for the root.

    Returns:
        a name, or None for the class's own.
    """
