"""Where others look: captured sections, JUnit, pytest-html, GitHub."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from htp_examples import change_the_model, recorded

from pytest_htp.testing import Example

STEP = "STEP 6/8  NODE TAGGING"


def test_sections_junit_html_and_github(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    passed = example.run_pytest("-rP", report=False, outcomes={"passed": 1})
    assert "Captured stdout htp export call" in passed.stdout
    assert STEP in passed.stdout
    assert STEP not in example.run_pytest(report=False, outcomes={"passed": 1}).stdout

    change_the_model(example)
    example.write({"pytest.ini": "[pytest]\njunit_logging = system-out\n"})
    summary = tmp_path / "step-summary.md"
    summary.write_text("before\n")
    run = example.run_pytest(
        "--junitxml=junit.xml",
        "--html=page.html",
        env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)},
        outcomes={"failed": 1},
    )
    assert STEP in run.stdout, "on failure"

    case = ElementTree.parse(example.folder / "junit.xml").getroot().find(".//testcase")
    assert case is not None
    properties = {item.get("name"): item.get("value") for item in case.iter("property")}
    assert properties == {"htp.verdict": "drift", "htp.coverage": "100.00", "htp.direct_coverage": "100.00"}
    assert STEP in (case.findtext("system-out") or "")

    page = example.read("page.html")
    assert "ONNX export" in page
    assert "ops.changed" in page

    annotations = [line for line in run.stdout.splitlines() if line.startswith("::")]
    assert len(annotations) == 1
    assert annotations[0].startswith("::error file=test_net.py,line=")
    assert "ops.changed" in annotations[0]
    assert summary.read_text().startswith("before\n")
    assert "ops.changed" in summary.read_text()


EXTRAS = """
def pytest_runtest_logreport(report):
    if report.when == "call":
        with open("extras.log", "a") as log:
            log.write(f"{len(getattr(report, 'extras', []))} ")
"""


def test_pytest_html_is_given_what_it_will_write(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    example.write({"conftest.py": EXTRAS})
    for options in ((), ("--html=page.html",)):
        example.run_pytest(*options, outcomes={"passed": 1}, report=False)
    assert example.read("extras.log").split() == ["0", "1"]


def test_annotations_of_a_run_below_the_repository_name_its_files(tmp_path: Path) -> None:
    test = "def test_x(htp_export):\n    htp_export(None)\n"
    example = Example({"sub/pytest.ini": "[pytest]\n", "sub/test_x.py": test}, folder=tmp_path)
    for environ in ({}, {"GITHUB_WORKSPACE": str(example.folder)}):
        run = example.run_pytest("sub", env={"GITHUB_ACTIONS": "true", **environ}, report=False)
        (line,) = [line for line in run.stdout.splitlines() if line.startswith("::")]
        assert line.startswith("::error file=sub/test_x.py,line=1,")
