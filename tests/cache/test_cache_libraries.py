"""A library of operators is an ingredient by what it holds, not by its name."""

from __future__ import annotations

from pathlib import Path

from pytest_htp.cache.walk import Walk
from pytest_htp.exporter.options import ExportOptions


def digest(library: str) -> str:
    return Walk().digest(ExportOptions(ort_extensions=[library]).ort_extensions)


def test_a_library_built_anew_under_its_name_is_another_one(tmp_path: Path) -> None:
    library = tmp_path / "libops.so"
    library.write_bytes(b"one")
    first = digest(str(library))
    assert digest(str(library)) == first
    library.write_bytes(b"two")
    assert digest(str(library)) != first
