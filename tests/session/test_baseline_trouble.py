"""Baseline files that can't be used: broken, of another schema, links, folders; and CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from htp_examples import recorded

BROKEN = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not UTF-8": lambda text: text.encode("utf-16"),
    "other schema": lambda text: text.replace("pytest-htp/baseline/2", "pytest-htp/baseline/99"),
    "a merge": lambda text: "<<<<<<< ours\n" + text + "=======\n>>>>>>> theirs\n",
    "a list": lambda text: "[]",
}


SEVEN = """
import pytest
from net import X, make

@pytest.mark.parametrize("number", range(7))
def test_net(htp_export, number):
    htp_export(make, X, parity=False)
"""


def test_broken_baselines_fail_with_the_remedy_and_are_replaced_by_an_update(tmp_path: Path) -> None:
    """Seven tests of one shared export: six baselines broken, each in its own way, the last one whole."""
    example = recorded(tmp_path, SEVEN)
    paths = dict(zip(BROKEN, example.baseline_paths, strict=False))
    good = {path: example.read(path) for path in example.baseline_paths}
    for what, path in paths.items():
        example.write({path: BROKEN[what](good[path])})

    run = example.run_pytest(outcomes={"failed": 6, "passed": 1})
    assert run.touched_files == []
    assert "Traceback" not in run.stdout
    results = {export["baseline"]: export for export in run.exports}
    for what, path in paths.items():
        assert results[path]["baseline_status"] == "error", what
        assert run.stdout.count(Path(path).name) >= 1, what
        assert results[path]["commands"]["accept"] in run.stdout, what

    updated = example.run_pytest("--snapshot-update", report=False, outcomes={"passed": 7})
    assert updated.touched_files == sorted(paths.values())
    assert {path: example.read(path) for path in good} == good


@pytest.mark.parametrize("place", ["file", "test folder", "baseline folder"])
def test_links_are_neither_read_nor_written_through(tmp_path: Path, place: str) -> None:
    example = recorded(tmp_path)
    (name,) = example.baseline_paths
    path = example.folder / name
    linked = {"file": path, "test folder": path.parent, "baseline folder": path.parent.parent}[place]
    outside = tmp_path / "outside"
    linked.rename(outside)
    linked.symlink_to(outside)
    before = {p: p.read_bytes() for p in [outside, *outside.rglob("*")] if p.is_file()}
    for arguments in ((), ("--snapshot-update",)):
        run = example.run_pytest(*arguments, outcomes={"failed": 1})
        assert "is a symbolic link; baselines are plain files in plain folders" in run.stdout
    assert {p: p.read_bytes() for p in [outside, *outside.rglob("*")] if p.is_file()} == before


def test_a_folder_in_place_of_a_baseline_or_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    (name,) = example.baseline_paths
    example.remove(name)
    (example.folder / name).mkdir()
    assert "is a folder" in example.run_pytest(outcomes={"failed": 1}).stdout
    assert "is a folder, baselines are files" in example.run_pytest("--snapshot-update", outcomes={"failed": 1}).stdout
    (example.folder / name).rmdir()
    (example.folder / name).parent.rmdir()
    (example.folder / "__htp_baselines__").rmdir()
    example.write({"__htp_baselines__": "in the way"})
    run = example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert run.returncode == 1
    assert "can't be written (Not a directory)" in run.stdout
    assert run.export["baseline_status"] == "unwritten"
    assert "Traceback" not in run.stdout
    page, summary = (example.read(f"htp-report/{name}") for name in ("index.html", "summary.md"))
    for text in (page, summary):
        assert "baseline not written" in text
        assert "1 of 1 export needs a look" in text
        assert "nothing to look at" not in text
        assert "bad baseline" not in text


def test_ci_writes_nothing_unless_asked(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    (name,) = example.baseline_paths
    text = example.read(name)
    example.remove(name)
    run = example.run_pytest(env={"CI": "true"}, outcomes={"failed": 1})
    assert run.touched_files == []
    asked = example.run_pytest("--snapshot-update", env={"CI": "true"}, outcomes={"passed": 1})
    assert asked.touched_files == [name]
    assert example.read(name) == text


def test_only_new_ones(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    (name,) = example.baseline_paths
    text = example.read(name)
    example.write({name: text[:-20]})
    run = example.run_pytest("--snapshot-update-new-only", report=False, outcomes={"failed": 1})
    assert run.touched_files == [], "a broken one is not a new one"
    example.remove(name)
    run = example.run_pytest("--snapshot-update-new-only", report=False, outcomes={"passed": 1})
    assert run.touched_files == [name]
    assert json.loads(example.read(name)) == json.loads(text)
