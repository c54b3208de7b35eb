"""Everything under ``-n 2``: one project, few runs, since each worker imports torch anew."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from htp_examples import change_the_model, project

TEST = """
import os
import pytest
from net import Raises, X, make

@pytest.fixture(scope="module")
def model():
    return make()

def note(request):
    group = request.node.get_closest_marker("xdist_group")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    with open("notes.log", "a") as file:
        print(request.node.name, worker, group.args[0] if group else "", file=file)

def test_a(htp_export, model, request):
    note(request)
    htp_export(model, X, parity=False)

def test_b(htp_export, model, request):
    note(request)
    htp_export(model, X, parity=False)

def test_c(htp_export, request):
    note(request)
    htp_export(make(6), X, parity=False)

def test_gone(htp_export):
    htp_export(make(6), X, parity=False)
"""


def test_the_whole_flow_on_two_workers(tmp_path: Path) -> None:
    example = project(tmp_path, TEST)
    made = example.run_pytest("-n", "2", "--dist", "loadfile", "--snapshot-update", outcomes={"passed": 4})
    assert len(example.baselines) == 4
    assert "htp: baselines: 4 created" in made.stdout
    exports = {export["name"]: export for export in made.exports}
    assert sorted(exports) == ["test_a", "test_b", "test_c", "test_gone"]
    notes = {line.split(" ")[0]: line.split(" ")[1:] for line in example.read("notes.log").splitlines()}
    assert notes["test_a"][0] == notes["test_b"][0]
    assert sum(exports[name]["shared_with"] is not None for name in ("test_a", "test_b")) == 1
    for export in made.exports:
        assert (example.folder / "htp-report" / export["artifacts"] / "baseline.json").is_file()

    # In one process, and with the tests dealt out otherwise, the same files hold.
    alone = example.run_pytest(outcomes={"passed": 4})
    assert alone.touched_files == ["notes.log"]

    example.replace("test_net.py", "def test_gone(htp_export)", "def test_raises(htp_export)")
    raising = "def test_raises(htp_export):\n    htp_export("
    example.replace("test_net.py", f"{raising}make(6)", f"{raising}Raises()")
    change_the_model(example)
    pages = ("--junitxml=junit.xml", "--html=page.html", "--self-contained-html")
    run = example.run_pytest("-n", "2", "--htp-prune", *pages, outcomes={"failed": 4})
    assert [name.rsplit("/", 1)[1][:9] for name in run.deleted_files] == ["test_gone"]
    assert run.created_files == ["junit.xml", "page.html"]
    assert run.changed_files == ["notes.log"]
    assert {"step.failed", "ops.changed"} <= run.codes
    assert "STEP 6/8  NODE TAGGING" in run.stdout, "sections of workers are shown"
    assert "onnx exports" in run.stdout
    assert example.read("page.html").count("ONNX export:") == 4
    cases = ElementTree.parse(example.folder / "junit.xml").getroot().iter("testcase")
    verdicts = {p.get("value") for case in cases for p in case.iter("property") if p.get("name") == "htp.verdict"}
    assert "breaking" in verdicts


def test_a_dead_worker_loses_only_its_test(tmp_path: Path) -> None:
    dies = "\ndef test_dies():\n    import time; time.sleep(2); os._exit(1)\n"
    example = project(tmp_path, TEST.replace("def test_gone", "def test_d") + dies)
    run = example.run_pytest("-n", "2", "--snapshot-update", outcomes={"passed": 4, "failed": 1})
    assert len(run.exports) == 4
    assert len(example.baselines) == 4
    assert any("only the test it was running is lost" in note for note in (run.report or {})["notes"])
