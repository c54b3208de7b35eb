"""Other plugins beside this one: rows of the table in docs/how-to/other-plugins.md, run where they are installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from htp_examples import change_the_model, project, recorded

pytestmark = pytest.mark.slow

TWO = """
import pytest
from net import X, make

COUNT = {"n": 0}

def test_flaky(htp_export):
    COUNT["n"] += 1
    htp_export(make(), X, parity=False)
    assert COUNT["n"] > 1

def test_other(htp_export):
    htp_export(make(5), X, parity=False)
"""


def needs(module: str) -> pytest.MarkDecorator:
    """The extra ``dev`` leaves such plugins out: one that is installed takes part in every other test as well."""
    package = module.replace("_", "-")
    return pytest.mark.skipif(find_spec(module) is None, reason=f"to see it beside {package}: pip install {package}")


@needs("pytest_rerunfailures")
def test_rerunfailures(tmp_path: Path) -> None:
    example = project(tmp_path, TWO)
    run = example.run_pytest("--reruns", "1", "--snapshot-update")
    assert run.returncode == 0
    assert [(item["name"], item["outcome"]) for item in run.exports] == [
        ("test_flaky", "passed"),
        ("test_other", "passed"),
    ]
    assert len(run.created_files) == 2
    change_the_model(example)
    failed = example.run_pytest("--reruns", "1")
    assert len(failed.exports) == 2
    assert "pytest --reruns 1 test_net.py::test_other --snapshot-update" in failed.stdout


@needs("pytest_repeat")
def test_repeat_gives_each_repetition_a_baseline_of_its_own(tmp_path: Path) -> None:
    example = project(tmp_path)
    run = example.run_pytest("--count", "2", outcomes={"failed": 2})
    assert "pytest --count 2 'test_net.py::test_net[1-2]' 'test_net.py::test_net[2-2]' --snapshot-update" in run.stdout
    assert len(example.run_pytest("--count", "2", "--snapshot-update").created_files) == 2
    example.run_pytest("--count", "2", outcomes={"passed": 2})


@needs("pytest_randomly")
def test_randomly_changes_no_record(tmp_path: Path) -> None:
    test = TWO.replace('assert COUNT["n"] > 1', "pass").replace("make(5)", "make_random")
    test += "\ndef make_random():\n    from net import Net\n    return Net(5)\n"
    example = project(tmp_path, test)
    assert len(example.run_pytest("-p", "randomly", "-p", "no:xdist", "--snapshot-update").created_files) == 2
    for seed in ("1", "2"):
        example.run_pytest("-p", "randomly", "-p", "no:xdist", "--randomly-seed", seed, outcomes={"passed": 2})


@needs("pytest_asyncio")
@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_asyncio(tmp_path: Path, mode: str) -> None:
    test = (
        "import asyncio, pytest\nfrom net import X, make\n\n@pytest.mark.asyncio\nasync def test_net(htp_export):\n"
        "    await asyncio.sleep(0)\n    htp_export(make(), X, parity=False)\n"
    )
    example = project(tmp_path, test)
    options = ("--asyncio-mode", mode)
    example.run_pytest(*options, "--snapshot-update", outcomes={"passed": 1})
    change_the_model(example)
    run = example.run_pytest(*options, outcomes={"failed": 1})
    assert f"pytest --asyncio-mode {mode} test_net.py::test_net --snapshot-update" in run.stdout


@needs("pytest_check")
def test_check(tmp_path: Path) -> None:
    test = "from pytest_check import check\nfrom net import X, make\n\ndef test_net(htp_export):\n"
    test += "    htp_export(make(), X, parity=False)\n    check.equal(1, 2)\n"
    example = project(tmp_path, test)
    run = example.run_pytest("--snapshot-update")
    assert run.returncode == 1
    assert run.created_files == []
    example.replace("test_net.py", "1, 2", "1, 1")
    assert len(example.run_pytest("--snapshot-update", outcomes={"passed": 1}).created_files) == 1


@needs("pytest_timeout")
def test_timeout(tmp_path: Path) -> None:
    test = (
        "import time, torch\nfrom net import X, Net, make\n\nclass Slow(Net):\n    def forward(self, x):\n"
        "        time.sleep(60)\n        return x\n\n\ndef test_slow(htp_export):\n    htp_export(Slow(), X)\n\n"
        "def test_net(htp_export):\n    htp_export(make(), X, parity=False, baseline=False)\n"
    )
    run = project(tmp_path, test).run_pytest("--timeout", "5", "--timeout-method", "signal")
    assert run.outcomes == {"failed": 1, "passed": 1}
    assert "Timeout" in run.stdout


@pytest.mark.parametrize("mode", ["load", "loadscope", "loadfile", "loadgroup", "worksteal", "each"])
def test_xdist(tmp_path: Path, mode: str) -> None:
    example = recorded(tmp_path)
    run = example.run_pytest("-n", "1", "--dist", mode)
    assert run.returncode == 0
    assert [item["verdict"] for item in run.exports] == ["unchanged"]
