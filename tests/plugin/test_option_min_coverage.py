"""``--htp-min-coverage``, the ini of that name, the marker and the call: the more specific one wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import project

HALF = """
import pytest
from net import Half, X

{marker}
def test_half(htp_export):
    htp_export(Half(), X, parity=False, baseline=False{call})
"""


def test_precedence(tmp_path: Path) -> None:
    """One project, one setting more at each step, alternating between failing and passing."""
    example = project(tmp_path, HALF.format(marker="", call=""))
    example.run_pytest(outcomes={"passed": 1})

    example.write({"pytest.ini": "[pytest]\nhtp_min_coverage = 99\n"})
    run = example.run_pytest(outcomes={"failed": 1})
    assert run.codes == {"coverage.dropped"}
    assert run.export["coverage"]["coverage"] == 50
    assert "--snapshot-update" not in run.stdout, "updating would not accept what is below the minimum"

    example.run_pytest("--htp-min-coverage=50", outcomes={"passed": 1})
    marker = "@pytest.mark.htp(min_coverage=99)"
    example.write({"test_net.py": HALF.format(marker=marker, call="")})
    example.run_pytest("--htp-min-coverage=50", outcomes={"failed": 1})
    example.write({"test_net.py": HALF.format(marker=marker, call=", min_coverage=10")})
    example.run_pytest("--htp-min-coverage=60", outcomes={"passed": 1})


def test_the_inner_marker_wins_over_the_outer_one(tmp_path: Path) -> None:
    test = """
import pytest
from net import Half, X

@pytest.mark.htp(min_coverage=99, opset_version=20)
class TestHalf:
    @pytest.mark.htp(min_coverage=50)
    def test_inner(self, htp_export):
        export = htp_export(Half, X, parity=False, baseline=False)
        assert export.record["opset"][""] == 20, "what only the outer marker sets holds"
"""
    project(tmp_path, test.replace("htp_export(Half,", "htp_export(Half(),")).run_pytest(outcomes={"passed": 1})


def test_updating_does_not_accept_what_is_below_the_minimum(tmp_path: Path) -> None:
    example = project(tmp_path, HALF.format(marker="", call="").replace(", baseline=False", ""))
    run = example.run_pytest("--snapshot-update", "--htp-min-coverage=90", outcomes={"failed": 1})
    assert run.touched_files == []
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert len(example.baselines) == 1


@pytest.mark.parametrize("value", ["abc", "-1", "101", "nan", ""])
def test_bad_values_are_refused_before_anything_runs(tmp_path: Path, value: str) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    run = example.run_pytest(f"--htp-min-coverage={value}", report=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--htp-min-coverage must be a percentage from 0 to 100" in run.stderr
