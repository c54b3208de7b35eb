"""``--htp-fail-on``, ini ``htp_fail_on``, marker, call; ini ``htp_policy``, ``htp_coverage_tolerance``."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import change_the_model, project, recorded

TEST = """
import pytest
from net import X, make

{marker}
def test_net(htp_export):
    htp_export(make(), X, parity=False{call})
"""


def test_precedence(tmp_path: Path) -> None:
    example = recorded(tmp_path, TEST.format(marker="", call=""))
    change_the_model(example)  # a drift
    assert example.run_pytest(outcomes={"failed": 1}).export["verdict"] == "drift"

    example.write({"pytest.ini": "[pytest]\nhtp_fail_on = regression\n"})
    milder = example.run_pytest(outcomes={"passed": 1})
    assert milder.export["verdict"] == "drift", "what does not fail is reported all the same"
    assert milder.export["baseline_status"] == "changed"

    example.run_pytest("--htp-fail-on=info", outcomes={"failed": 1})
    example.write({"test_net.py": TEST.format(marker="@pytest.mark.htp(fail_on='breaking')", call="")})
    example.run_pytest("--htp-fail-on=info", outcomes={"passed": 1})
    example.write({"test_net.py": TEST.format(marker="@pytest.mark.htp(fail_on='breaking')", call=", fail_on='drift'")})
    example.run_pytest(outcomes={"failed": 1})


def test_policy_gives_a_code_another_verdict(tmp_path: Path) -> None:
    example = recorded(tmp_path, TEST.format(marker="", call=""))
    change_the_model(example)
    example.write({"pytest.ini": "[pytest]\nhtp_policy =\n    ops.changed:ignore\n"})
    assert example.run_pytest(outcomes={"passed": 1}).findings == []
    example.write({"pytest.ini": "[pytest]\nhtp_policy = ops.changed:breaking\n"})
    assert example.run_pytest("--htp-fail-on=breaking", outcomes={"failed": 1}).export["verdict"] == "breaking"


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("htp_fail_on = bad", "htp_fail_on must be one of breaking, regression, drift, improvement, info"),
        ("htp_fail_on = unchanged", "htp_fail_on must be one of"),
        ("htp_policy = ops.changed:sometimes", "ops.changed"),
        ("htp_policy = no.such_code:ignore", "no.such_code"),
        ("htp_coverage_tolerance = many", "htp_coverage_tolerance must be a percentage"),
        ("htp_baseline_variant = {no-such-package}", "no package 'no-such-package' is installed"),
    ],
)
def test_bad_ini_values_are_usage_errors(tmp_path: Path, ini: str, message: str) -> None:
    example = recorded(tmp_path, "def test_a(): pass\n").write({"pytest.ini": f"[pytest]\n{ini}\n"})
    run = example.run_pytest(report=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in run.stderr


def test_coverage_may_drop_within_the_tolerance(tmp_path: Path) -> None:
    test = "from net import X, Half\ndef test_a(htp_export):\n    htp_export(Half(), X, parity=False)\n"
    example = project(tmp_path, test).replace("net.py", "return self.first(x), x", "return self.first(x), x.sin()")
    example.run_pytest("--snapshot-update", report=False, outcomes={"passed": 1})
    # From 100 to 50 percent: the root's Sin becomes an Identity that no module owns.
    example.replace("net.py", "return self.first(x), x.sin()", "return self.first(x), x")
    assert "coverage.dropped" in example.run_pytest(outcomes={"failed": 1}).codes
    example.write({"pytest.ini": "[pytest]\nhtp_coverage_tolerance = 50\n"})
    assert example.run_pytest(outcomes={"failed": 1}).codes == {"io.renamed"}
