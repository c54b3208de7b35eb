"""What a type checker and a worker process see of the public names."""

from __future__ import annotations

import pickle
import re
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from mypy import api

import pytest_htp
from pytest_htp.errors import HTPExportError
from pytest_htp.exporter.keywords import ExportKeywords
from pytest_htp.exporter.options import ExportOptions
from pytest_htp.vocabulary import HTPExportData, HTPExportStep

ROOT = Path(__file__).resolve().parents[2]
WRONG = """
from pytest_htp import HTPExproter, HTPExporter, HtpExportFixture, handles, load_baseline

HTPExporter(opset_verzion=20, exporter="tensorflow")

def test_net(htp_export: HtpExportFixture) -> None:
    export = htp_export(lambda: 1, opset_version=20)
    print(export.onnx_path.name, export.nope)
    htp_export(lambda: 1, opset_version="20")
"""


@pytest.mark.slow
def test_mypy_finds_what_is_misspelt(tmp_path: Path) -> None:
    (tmp_path / "test_wrong.py").write_text(WRONG)
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    said, problems, _ = api.run([*config, "--strict", "--follow-imports=silent", str(tmp_path / "test_wrong.py")])
    assert problems == ""
    for text in (
        'has no attribute "HTPExproter"',
        'Unexpected keyword argument "opset_verzion"',
        "\"Literal['tensorflow']\"; expected \"Literal['auto', 'transformers', 'torch']\"",
        '"HTPExport" has no attribute "nope"',
        'Argument "opset_version" to "__call__" of "HtpExportFixture" has incompatible type "str"',
    ):
        assert text in said
    assert "Found 5 errors" in said


def test_every_option_is_a_keyword() -> None:
    assert {field.name for field in fields(ExportOptions)} <= set(ExportKeywords.__annotations__)


def test_every_public_name_is_there() -> None:
    for name in pytest_htp.__all__:
        assert getattr(pytest_htp, name) is not None
    with pytest.raises(AttributeError, match="HTPExproter"):
        pytest_htp.HTPExproter  # noqa: B018


IMPORTED = re.compile(r"^from (pytest_htp[\w.]*) import (?:\(([^)]*)\)|(.+))$", re.MULTILINE)


def test_every_name_that_docs_import_is_public() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    imported = {
        (module, name)
        for page in pages
        for module, several, one in IMPORTED.findall(page.read_text("utf-8"))
        for name in re.findall(r"\w+", several or one)
    }
    assert len(imported) > 10
    for module, name in sorted(imported):
        assert module in ("pytest_htp", "pytest_htp.testing")
        assert name in import_module(module).__all__


class Unpicklable(RuntimeError):
    def __init__(self) -> None:
        super().__init__("too deep")
        self.frame = sys._getframe()


@pytest.mark.parametrize("cause", [ValueError("no"), Unpicklable()])
def test_an_export_error_pickles(cause: Exception) -> None:
    data = HTPExportData(model_name="net", errors=[{"step": "onnx_export", "type": "ValueError", "message": "no"}])
    error = HTPExportError("export of net failed", step=HTPExportStep.EXPORT, cause=cause, data=data)
    error.console_html = "<b>"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.step, again.console_html) == (str(error), HTPExportStep.EXPORT, "<b>")
    assert again.data == data
    assert str(cause) in str(again.cause)
