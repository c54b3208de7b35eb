"""Where rounds are kept: anew when what is tested changes, the same otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_htp.bisect.state import Kept, keep_round, project_root, read_round, report_sha256, state_of
from pytest_htp.report.model import build_report, dump_report


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "model.py").write_text("A = 1\n")
    return tmp_path


def test_what_is_tested_names_the_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = state_of(root, ["-q"])
    for name in (".pytest_cache/x", "pkg/__pycache__/model.pyc", "htp-report/report.json", ".htp-bisect/note"):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text("something else")
    assert state_of(root, ["-q"]) == first
    assert state_of(root, ["-q", "-x"]) != first
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k net")
    assert state_of(root, ["-q"]) != first
    monkeypatch.delenv("PYTEST_ADDOPTS")
    (root / "pkg" / "model.py").write_text("A = 2\n")
    assert state_of(root, ["-q"]) != first
    (root / "pkg" / "model.py").write_text("A = 1\n")
    assert state_of(root, ["-q"]) == first
    assert (root / ".htp-bisect" / ".gitignore").read_text() == "*\n"


def test_code_beside_the_project_counts(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "other.py").write_text("B = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.path", [str(elsewhere)])
        first = state_of(root, [])
        (elsewhere / "other.py").write_text("B = 2\n")
        assert state_of(root, []) != first


def test_the_project_is_the_repository_around(root: Path) -> None:
    assert project_root(root / "pkg") == root / "pkg"
    (root / ".git").mkdir()
    assert project_root(root / "pkg") == root


def test_a_round_counts_only_with_the_report_that_was_written(root: Path) -> None:
    folder = root / "round"
    folder.mkdir()
    (folder / "report.json").write_text(dump_report(build_report([], {})))
    assert read_round(folder) is None
    keep_round(folder, Kept(versions={"p": "1"}, report_sha256=report_sha256(folder), exports=3))
    found = read_round(folder)
    assert found is not None
    assert (found[0].exports, found[1] and found[1].exports) == (3, [])
    (folder / "report.json").write_text(dump_report(build_report([], {"python": "3.0"})))
    assert read_round(folder) is None
    keep_round(folder, Kept(versions={"p": "1"}, report_sha256=None, trouble="it does not install"))
    assert read_round(folder) is None, "it may install today"
    (folder / "round.json").write_text("{")
    assert read_round(folder) is None
