"""What other plugins and conftest files contribute to an export, by the hooks of ``pytest_htp.hookspecs``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_htp.errors import HTPUsageError
from pytest_htp.text import inert

if TYPE_CHECKING:
    from torch import nn

    from pytest_htp.exporter.result import HTPExport
    from pytest_htp.format.record import Record
    from pytest_htp.report.result import ExportResult
    from pytest_htp.targets import Target

MAX_SECTION = 100_000
"""Characters of one section; the rest is cut."""


class Extensions:
    """The hooks as one test sees them: a conftest's only in its own folder."""

    def __init__(self, item: pytest.Item) -> None:
        self._hooks = item.ihook
        self._config = item.config

    def inputs(self, model: nn.Module) -> object:
        """Inputs for a test that gave none, or None."""
        return self._hooks.pytest_htp_make_inputs(model=model, config=self._config)

    def findings(self, baseline: Record | None, current: Record, export: HTPExport) -> list[Mapping[str, object]]:
        """All plugins' findings.

        Raises:
            HTPUsageError: a value that a report can't hold.
        """
        if not self._hooks.pytest_htp_findings.get_hookimpls():
            return []
        from pytest_htp.format.serialize import dict_of

        before = dict_of(baseline) if baseline is not None else None
        found = self._hooks.pytest_htp_findings(baseline=before, current=dict_of(current), export=export)
        findings = [finding for part in found for finding in part]
        try:
            json.dumps([dict(finding) for finding in findings], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise HTPUsageError(
                f"pytest_htp_findings must give findings of plain JSON values (text, numbers, lists): {error}"
            ) from None
        return findings

    def sections(self, result: ExportResult) -> list[dict[str, str]]:
        """All plugins' sections: ``{"title", "text"}``, without control characters.

        Raises:
            HTPUsageError: something else than pairs of text.
        """
        if not self._hooks.pytest_htp_report_sections.get_hookimpls():
            return []
        from msgspec import to_builtins

        return [
            {"title": title, "text": text}
            for part in self._hooks.pytest_htp_report_sections(result=to_builtins(result))
            for title, text in _pairs(part)
        ]

    def targets(self, given: object) -> tuple[Target, ...]:
        """The targets that an option names, plugins' among them.

        Raises:
            HTPUsageError: an unknown name, a bad option, or a plugin's target with a name that is taken.
        """
        from pytest_htp.targets.builtin import BUILT_IN, resolve_targets

        known = dict(BUILT_IN)
        for target in (target for part in self._hooks.pytest_htp_targets() for target in part):
            if target.name in known:
                raise HTPUsageError(f"pytest_htp_targets gives a second target {target.name!r}; take another name")
            known[target.name] = target
        return resolve_targets(given, known)

    def module_name(self) -> Callable[[nn.Module, str], str | None] | None:
        """The naming rule, None where no plugin has one."""
        if not self._hooks.pytest_htp_module_name.get_hookimpls():
            return None

        def name(module: nn.Module, path: str) -> str | None:
            found: str | None = self._hooks.pytest_htp_module_name(module=module, path=path)
            return found

        return name


def _pairs(part: Iterable[object]) -> Iterator[tuple[str, str]]:
    for pair in part:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(word, str) for word in pair)):
            raise HTPUsageError(f"pytest_htp_report_sections must give pairs (title, text), got {pair!r}")
        title, text = pair
        cut = text if len(text) <= MAX_SECTION else f"{text[:MAX_SECTION]}\n… cut"
        yield inert(title), "\n".join(inert(line.replace("\t", "    ")) for line in cut.split("\n"))
