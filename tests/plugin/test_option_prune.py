"""Stale baselines: warned of, and deleted by ``--htp-prune`` only where their test certainly is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import ONE_TEST, recorded

from pytest_htp.testing import Example

TWO = """
from net import X, make

def test_kept(htp_export):
    htp_export(make, X, parity=False)

def test_gone(htp_export):
    htp_export(make, X, parity=False)
"""
ONE = TWO[: TWO.index("def test_gone")]


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """``test_net.py`` with two tests and ``test_more.py`` with one; recorded once, copied by the tests."""
    example = recorded(tmp_path_factory.mktemp("prune"), TWO, test_more=ONE_TEST.replace("test_net", "test_more"))
    assert len(example.baselines) == 3
    return example


@pytest.fixture
def example(two_files: Example, tmp_path: Path) -> Example:
    return Example(two_files.files, folder=tmp_path)


def gone(example: Example) -> list[str]:
    return [name for name in example.baseline_paths if "test-gone" in name or "test_gone" in name]


# None of these runs exports anything: -k deselects, and deselected tests are collected.
NO_TESTS = ("-k", "nothing_at_all")
IMPORTABLE = "[pytest]\npythonpath = .\n"


def test_a_stale_baseline_is_a_warning_and_pruned_on_request(example: Example) -> None:
    example.write({"test_net.py": ONE})
    (stale,) = gone(example)
    warned = example.run_pytest(*NO_TESTS, report=False)
    assert f"stale baseline {stale}" in warned.stdout
    assert "--htp-prune" in warned.stdout
    assert warned.touched_files == []
    only_looked = example.run_pytest("--htp-prune", "--collect-only", report=False)
    assert only_looked.touched_files == []
    pruned = example.run_pytest("--htp-prune", *NO_TESTS, report=False)
    assert pruned.touched_files == [stale]
    assert f"deleted {stale}" in pruned.stdout
    assert "stale baseline" not in example.run_pytest(*NO_TESTS, report=False).stdout


def test_a_deleted_test_file(example: Example) -> None:
    example.remove("test_more.py")
    run = example.run_pytest("--htp-prune", *NO_TESTS, report=False)
    assert [name.split("/")[1] for name in run.deleted_files] == ["test_more"]
    assert not (example.folder / "__htp_baselines__" / "test_more").exists(), "the empty folder goes as well"
    assert (example.folder / "__htp_baselines__" / "test_net").exists()


def test_a_test_file_without_tests(example: Example) -> None:
    example.write({"test_net.py": "x = 1\n"})
    run = example.run_pytest("--htp-prune", *NO_TESTS, report=False)
    assert {name.split("/")[1] for name in run.deleted_files} == {"test_net"}
    assert len(run.deleted_files) == 2


@pytest.mark.parametrize(
    "selection",
    [
        ("test_more.py", *NO_TESTS),
        ("test_net.py::test_kept", *NO_TESTS),
        ("test_net.py::test_kept", "test_net.py", *NO_TESTS),
        ("--ignore=test_net.py", *NO_TESTS),
        ("--ignore-glob=*net*", *NO_TESTS),
        ("--pyargs", "test_net::test_kept", *NO_TESTS),
    ],
    ids=" ".join,
)
def test_a_narrowed_run_says_nothing_about_the_rest(example: Example, selection: tuple[str, ...]) -> None:
    example.write({"test_net.py": ONE, "pytest.ini": IMPORTABLE})
    run = example.run_pytest("--htp-prune", *selection, report=False)
    assert run.touched_files == []
    assert ("htp: nothing pruned: test_net" in run.stdout) == any("::" in word for word in selection)


def test_collecting_that_is_broken_off_says_nothing(example: Example) -> None:
    example.write({"conftest.py": "def pytest_itemcollected(item):\n    raise KeyboardInterrupt\n"})
    run = example.run_pytest("--htp-prune", report=False)
    assert run.touched_files == []
    assert "htp: nothing pruned: collecting the tests failed" in run.stdout


@pytest.mark.parametrize(
    "selection",
    [
        ("--ignore=test_more.py",),
        ("--ignore=elsewhere",),
        ("--deselect=test_net.py::test_kept",),
        ("--stepwise",),
        ("--pyargs", "."),
        ("--pyargs", "test_net"),
    ],
    ids=" ".join,
)
def test_what_narrows_elsewhere_does_not_switch_pruning_off(example: Example, selection: tuple[str, ...]) -> None:
    """As in ``addopts``, where such options stand for good."""
    example.write({"test_net.py": ONE, "pytest.ini": IMPORTABLE})
    run = example.run_pytest("--htp-prune", *selection, *NO_TESTS, report=False)
    assert run.deleted_files == run.touched_files != []
    assert "nothing pruned" not in run.stdout


@pytest.mark.parametrize("selection", [NO_TESTS, ("-m", "not htp"), ("--deselect=test_net.py",)], ids=" ".join)
def test_deselected_tests_exist(example: Example, selection: tuple[str, ...]) -> None:
    assert example.run_pytest("--htp-prune", *selection, report=False).touched_files == []


@pytest.mark.parametrize(
    "content",
    [
        "import no_such_module_at_all\n",
        "def broken(:\n",
        "import pytest\npytest.skip('not here', allow_module_level=True)\n",
        "import pytest\npytest.importorskip('no_such_module_at_all')\n",
    ],
    ids=["import error", "syntax error", "skipped", "importorskip"],
)
def test_a_file_that_was_not_collected_keeps_its_baselines(example: Example, content: str) -> None:
    example.write({"test_net.py": content})
    run = example.run_pytest("--htp-prune", *NO_TESTS, report=False)
    assert run.touched_files == []
    # Nor does a collection error elsewhere let anything go.
    run = example.run_pytest("--htp-prune", "--continue-on-collection-errors", *NO_TESTS, report=False)
    assert ("nothing pruned: collecting the tests failed" in run.stdout) == ("error" in run.outcomes)
    assert len(example.baseline_paths) == 3


def test_last_failed(example: Example) -> None:
    example.replace("test_more.py", "parity=False)", "parity=False)\n    assert not htp_export")
    example.run_pytest("test_more.py", report=False, outcomes={"failed": 1})
    example.write({"test_net.py": ONE})
    run = example.run_pytest("--lf", "--htp-prune", report=False, outcomes={"failed": 1})
    assert run.touched_files == []
    assert "htp: nothing pruned: --lf collects a part of the tests" in run.stdout
    quiet = example.run_pytest("--lf", report=False, outcomes={"failed": 1})
    assert "pruned" not in quiet.stdout


def test_files_that_are_not_ours_and_links_stay(example: Example, tmp_path: Path) -> None:
    folder = "__htp_baselines__/test_net"
    example.write({"test_net.py": ONE, f"{folder}/README.json": "{}", f"{folder}/notes.txt": "mine"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "test-x-0123abcd.json").write_text("{}")
    (example.folder / "__htp_baselines__" / "linked").symlink_to(outside)
    (example.folder / folder / "test-y-0123abcd.json").symlink_to(outside / "test-x-0123abcd.json")
    run = example.run_pytest("--htp-prune", *NO_TESTS, report=False)
    assert len(run.deleted_files) == 1
    assert (outside / "test-x-0123abcd.json").exists()
    assert (example.folder / folder / "test-y-0123abcd.json").is_symlink()
    assert example.read(f"{folder}/notes.txt") == "mine"


def test_projects_in_the_same_tree_that_were_not_run_keep_theirs(example: Example) -> None:
    example.write({"elsewhere/__htp_baselines__/test_z/test-z-0123abcd.json": "{}"})
    assert example.run_pytest("test_net.py", "--htp-prune", *NO_TESTS, report=False).touched_files == []
    whole = example.run_pytest("--htp-prune", *NO_TESTS, report=False)
    assert whole.deleted_files == ["elsewhere/__htp_baselines__/test_z/test-z-0123abcd.json"]


def test_only_collected_folders_are_looked_at(example: Example) -> None:
    """pytest does not go into ``build`` or a virtual environment, so what lies there is not ours to judge."""
    example.write({"build/__htp_baselines__/test_z/test-z-0123abcd.json": "{}"})
    run = example.run_pytest("--htp-prune", *NO_TESTS, report=False)
    assert run.touched_files == []
    assert "stale" not in run.stdout
