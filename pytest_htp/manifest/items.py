"""What pytest collects of a manifest: the file, and one item per export, run by the fixture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.manifest.keys import FURTHER_INPUTS
from pytest_htp.manifest.models import ModelReference
from pytest_htp.manifest.parse import ManifestExport, read_manifest
from pytest_htp.session.gate import HtpExportFixture


class ManifestFile(pytest.Module):
    """A ``*.htp.toml``.

    A module for pytest, so that everything of a module's scope works with it; its Python module is empty.
    """

    def _getobj(self) -> ModuleType:
        return ModuleType(self.path.name)

    def collect(self) -> Iterable[ManifestItem]:
        shown_path = self._shown_path()
        try:
            exports = read_manifest(self.path, shown_path)
        except HTPUsageError as error:
            raise self.CollectError(str(error)) from None
        for export in exports:
            where = f"{shown_path}:{export.line}"
            item: ManifestItem = ManifestItem.from_parent(
                self, name=export.name, callobj=_test_of(export, where), line=export.line, htp_model=export.model
            )
            for mark in export.marks:
                try:
                    item.add_marker(mark)
                except pytest.fail.Exception as error:  # --strict-markers
                    raise self.CollectError(f"{where}: export.{export.name}: marks: {error}") from None
            yield item

    def _shown_path(self) -> str:
        """The path as the user would type it where the run was started."""
        try:
            return Path(os.path.relpath(self.path, self.config.invocation_params.dir)).as_posix()
        except ValueError:  # another drive
            return str(self.path)


class ManifestItem(pytest.Function):
    """One export of a manifest.

    Args:
        line: of its table, from 1.
        htp_model: what it exports; items of one model may share an export.
    """

    def __init__(self, *, line: int, htp_model: ModelReference, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]
        self._line = line
        self.htp_model = htp_model

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self._line - 1, self.name


def _test_of(export: ManifestExport, where: str) -> Callable[[HtpExportFixture], None]:
    """The test function of an export; baselines go by its item's id, which is the export's name."""

    def test(htp_export: HtpExportFixture) -> None:
        run = htp_export.for_generation if export.generation else htp_export
        problem = None
        try:
            model = export.model.load()
            twin = export.reference and export.reference.load()
        except HTPUsageError as error:
            problem = f"{where}: export.{export.name}: {error}"
        if problem is not None:
            # An export that fails in its first step is in the report; a test that fails before it would not be.
            htp_export(_no_model(problem), baseline=not export.generation)
        try:
            options: dict[str, Any] = {
                key: [*map(_with_tensors, value)] if key in FURTHER_INPUTS else value
                for key, value in export.options.items()
            }
            if twin is not None:
                options["reference"] = twin
            run(model, _with_tensors(export.inputs), **options)
        except HTPUsageError as error:
            problem = str(error)
        except HTPExportError as error:
            error.args = (f"{where}: export.{export.name}: {error}",)
            raise
        if problem is not None:  # outside of the handler, so that only the message is shown
            pytest.fail(f"{where}: export.{export.name}: {problem}", pytrace=False)

    test.__name__ = test.__qualname__ = export.name
    test.__doc__ = f"export {export.model.text}"
    return test


def _with_tensors(inputs: dict[str, Any] | None) -> dict[str, Any] | None:
    """Arrays as the tensors they spell out: whole numbers int64, others float32."""
    import torch

    if inputs is None:
        return None
    return {name: torch.tensor(value) if isinstance(value, list) else value for name, value in inputs.items()}


def _no_model(problem: str) -> Callable[[], NoReturn]:
    """A factory that can only say why there is no model."""

    def make() -> NoReturn:
        raise HTPUsageError(problem)

    return make
