"""``-m htp``, ``-p no:htp``, the marker's own mistakes, strict markers."""

from __future__ import annotations

from pathlib import Path

from htp_examples import project

TEST = """
import pytest
from net import X, make

def test_plain(): pass

def test_uses(htp_export):
    htp_export(make, X, parity=False, baseline=False)

@pytest.mark.htp(fail_on="breaking")
def test_marked(htp_export):
    assert len(list(htp_export._item.iter_markers("htp"))) == 1

@pytest.mark.htp(90)
def test_positional(htp_export):
    htp_export(make, X)

@pytest.mark.htp(min_covrage=90)
def test_unknown(htp_export):
    htp_export(make, X)

def test_twice_the_same_name(htp_export):
    htp_export(make, X, parity=False, baseline=False, name="a")
    htp_export(make, X, parity=False, baseline=False, name="a")

def test_bad_name(htp_export):
    htp_export(make, X, name=" ")

@pytest.mark.htp(parity_inputs=[X])
def test_parity_inputs_of_several(htp_export):
    htp_export.for_generation(make)

def test_bad_value(htp_export):
    htp_export(make, X, min_coverage="most")
"""


def test_selection_and_usage_errors(tmp_path: Path) -> None:
    example = project(tmp_path, TEST)
    run = example.run_pytest("--strict-markers", "-m", "htp")
    assert run.outcomes == {"passed": 2, "failed": 6, "deselected": 1}
    for message in (
        "@pytest.mark.htp takes keywords only, like min_coverage=95; got 90",
        "unknown export option 'min_covrage' (did you mean 'min_coverage'?)",
        "have the name 'a'; give each its own name=",
        "htp_export(name=…) must be a non-empty string, got ' '",
        "parity_inputs are inputs of one forward, and for_generation exports several",
        "min_coverage must be a percentage from 0 to 100, got 'most'",
    ):
        assert message in run.stdout
    assert 'htp_export(make, X, min_coverage="most")' in run.stdout, "the user's line is shown"
    assert "pytest_htp/session/" not in run.stdout, "our frames are not"


def test_switched_off(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    run = example.run_pytest("-p", "no:htp", report=False, outcomes={"passed": 1})
    assert "htp" not in run.stdout.replace("test_switched_off", "").partition("plugins:")[0]
    run = example.run_pytest("-p", "no:htp", "--htp-report", report=False)
    assert "unrecognized arguments: --htp-report" in run.stderr


def test_help_and_markers_name_everything(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    text = example.run_pytest("--help", report=False).stdout
    for name in ("--htp-report", "--htp-min-coverage", "--htp-fail-on", "--htp-prune", "--htp-no-parity"):
        assert name in text
    for name in (
        "htp_report_dir",
        "htp_min_coverage",
        "htp_coverage_tolerance",
        "htp_quality_tolerance",
        "htp_fail_on",
        "htp_policy",
        "htp_keep_artifacts",
        "htp_providers",
        "htp_baseline_variant",
    ):
        assert name in text
    assert "@pytest.mark.htp(min_coverage=None" in example.run_pytest("--markers", report=False).stdout
