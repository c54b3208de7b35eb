"""``htp bisect`` as it is typed: bad input at once, and whole searches with real exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_htp.bisect.only import VARIABLE
from pytest_htp.bisect.ranges import offered_by_index
from pytest_htp.cli import main
from pytest_htp.testing import Example
from tests.bisect.htp_bisect_parts import wheel

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.act = nn.{act}()

    def forward(self, x):
        return self.act(self.first(x))
"""
TESTS = """
import torch
from htp_tiny import Net

def test_net(htp_export):
    htp_export(Net(), torch.ones(2, 3), parity=False)

def test_linear(htp_export):
    htp_export(torch.nn.Linear(3, 2), torch.ones(2, 3), parity=False)
"""
Bisect = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bisect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bisect:
    """Runs the command in a project with wheels of ``htp_tiny`` 1.0 to 1.4; gives its exit code and output."""
    monkeypatch.chdir(tmp_path)
    for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "CI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".git").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for number in range(5):
        wheel(tmp_path / "wheels", "htp_tiny", f"1.{number}", NET.format(act="ReLU" if number < 3 else "GELU"))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["bisect", "--wheels", "wheels", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["htp-tiny"], "'htp-tiny' is no range of versions; give it like torch==2.12.0..2.13.0"),
        (["htp-tiny==1.0..1.0"], "htp-tiny==1.0..1.0: the ends agree"),
        (["htp-tiny==1.0..1.9"], "htp-tiny==1.9 can't be had here; near it there are: 1.2, 1.3, 1.4"),
        (["htp-nowhere==1.0..1.1"], "no version of htp-nowhere can be had here"),
        (["htp-tiny==1.0..1.4", "htp_tiny==1.0..1.2"], "htp-tiny is given twice"),
        (["htp-tiny==1.0..1.4", "--wheels=nothing"], "--wheels: nothing is no folder"),
        (["htp-tiny==1.0..1.4", "--", "--snapshot-update"], "--snapshot-update is not for a search"),
        (["htp-tiny==1.0..1.4", "--", "--htp-report=x"], "--htp-report=x is not for a search"),
    ],
)
def test_bad_input_is_told_before_anything_runs(
    bisect: Bisect, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, err = bisect(*arguments)
    assert code == 2
    assert err.startswith(f"htp bisect: {message}")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / ".htp-bisect").exists()


def test_options_of_the_environment_count_as_typed(bisect: Bisect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-q --snapshot-update")
    code, _, err = bisect("htp-tiny==1.0..1.4")
    assert code == 2
    assert "--snapshot-update is not for a search" in err


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_a_round_runs_only_the_tests_it_is_given(tmp_path: Path, workers: tuple[str, ...]) -> None:
    example = Example("def test_a(): pass\n\n\ndef test_ab(): raise AssertionError\n", folder=tmp_path)
    example.write({"only.json": json.dumps(["test_example.py::test_a", "test_gone.py::test_b"])})
    run = example.run_pytest(
        "-p", "pytest_htp.bisect.only", *workers, env={VARIABLE: str(example.folder / "only.json")}, report=False
    )
    assert run.outcomes == ({"passed": 1} if workers else {"passed": 1, "deselected": 1})


def test_a_range_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", "--", "-k", "net"]) == 2
    assert "PACKAGE==GOOD..BAD" in capsys.readouterr().err


def test_an_end_that_does_not_install_is_told(bisect: Bisect, tmp_path: Path) -> None:
    (tmp_path / "wheels" / "htp_tiny-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    code, _, err = bisect("htp-tiny==1.0..1.4")
    assert code == 2
    assert err.startswith("htp bisect: the good end, htp-tiny==1.0: it does not install: ")


def test_tests_that_do_not_run_or_export_nothing_are_told(bisect: Bisect, tmp_path: Path) -> None:
    code, _, err = bisect("htp-tiny==1.0..1.4", "--", "--no-such-option")
    assert code == 2
    assert err.startswith("htp bisect: the good end, htp-tiny==1.0: pytest left no report: ")
    assert "--no-such-option" in err
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    code, _, err = bisect("htp-tiny==1.0..1.4", "--", "-q")
    assert code == 2
    assert err.startswith("htp bisect: the tests export nothing with htp-tiny==1.0; see .htp-bisect/")


def test_an_index_without_the_package_offers_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    assert offered_by_index("htp-tiny") == []
    wheel(tmp_path, "htp_tiny", "1.0")
    wheel(tmp_path, "htp_tiny", "1.1rc1")
    assert sorted(map(str, offered_by_index("htp-tiny"))) == ["1.0", "1.1rc1"]


@pytest.mark.slow
def test_the_first_bad_version_is_found_and_found_again_without_running(bisect: Bisect, tmp_path: Path) -> None:
    (tmp_path / "test_m.py").write_text(TESTS)
    typed = ("htp-tiny==1.0..1.4", "--", "-q")
    code, out, _ = bisect(*typed)
    assert code == 0, out
    assert "htp-tiny 1.3 is the first bad version, 1.2 the last good one" in out
    assert "test_m.py::test_net: drift\n    drift module.class_changed act\n      class ReLU -> GELU" in out
    assert "4 rounds, 6 exports\n" in out, "the ends run both tests, the rounds between them one"
    code, again, _ = bisect(*typed)
    assert code == 0
    assert "4 rounds, 0 exports (kept: 4 rounds)" in again
    broken = next(tmp_path.glob(".htp-bisect/*/htp-tiny-1.2-*/report.json"))
    broken.write_text(broken.read_text().replace("ReLU", "GELU"))
    code, out, _ = bisect(*typed)
    assert "4 rounds, 1 export (kept: 3 rounds)" in out
    assert "1.3 is the first bad version" in out
    assert not list(tmp_path.rglob("__htp_baselines__")), "baselines are only read"
    code, out, _ = bisect("htp-tiny==1.0..1.2", "--", "-q")
    assert code == 1
    assert "nothing found: with the bad ends the tests export what they do with the good ones" in out


@pytest.mark.slow
def test_of_two_packages_the_guilty_one_is_found_by_its_failing_import(bisect: Bisect, tmp_path: Path) -> None:
    (tmp_path / "test_m.py").write_text(TESTS.replace("import Net", "import Net\nimport htp_other"))
    for number in range(3):
        wheel(tmp_path / "wheels", "htp_other", f"2.{number}", "raise ImportError('Net moved')" if number else "")
    code, out, _ = bisect("htp-tiny==1.0..1.2", "htp-other==2.0..2.2", "--", "-q")
    assert code == 0, out
    assert "htp-other 2.1 is the first bad version, 2.0 the last good one" in out
    assert "ImportError: Net moved" in out
    assert "htp-tiny 1." not in out.split("\n\n")[-1]
