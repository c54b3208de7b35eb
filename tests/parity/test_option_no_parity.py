"""``--htp-no-parity`` and ini ``htp_providers``."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import change_the_model, project

TEST = """
from net import X, make

def test_net(htp_export):
    htp_export(make(), X{call})
"""


def test_parity_is_measured_unless_switched_off(tmp_path: Path) -> None:
    example = project(tmp_path, TEST.format(call=""))
    run = example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert run.export["parity"]["measured"] is True
    with_parity = example.baseline

    off = example.run_pytest("--htp-no-parity", outcomes={"passed": 1})
    assert off.export["parity"] == {"measured": False, "reason": "parity was switched off"}
    assert off.findings == [], "what was not measured has not changed"

    updated = example.run_pytest("--htp-no-parity", "--snapshot-update", outcomes={"passed": 1})
    assert updated.touched_files == [], "an update without parity keeps what was measured before"
    assert example.baseline == with_parity

    example.write({"test_net.py": TEST.format(call=", parity=True")})
    run = example.run_pytest("--htp-no-parity", outcomes={"passed": 1})
    assert run.export["parity"]["measured"] is True, "the call wins"


def test_an_unknown_provider_is_refused_with_those_there_are(tmp_path: Path) -> None:
    example = project(tmp_path, TEST.format(call="")).write(
        {"pytest.ini": "[pytest]\nhtp_providers = NoSuchProvider\n"}
    )
    run = example.run_pytest(outcomes={"failed": 1})
    assert "'NoSuchProvider' is not in this onnxruntime" in run.stdout
    assert "CPUExecutionProvider" in run.stdout
    assert run.export["error"]["step"] == "export_complete"


def test_parity_failed_is_not_accepted_by_an_update(tmp_path: Path) -> None:
    example = project(tmp_path, TEST.format(call=", rtol=0.0, atol=0.0"))
    # PyTorch and ONNX Runtime compute the error function by different approximations.
    example.replace("net.py", "return self.last(self.act(self.first(x)))", "return self.act(x)")
    example.replace("net.py", "torch.ones(2, 3)", "torch.linspace(-4, 4, 4096).reshape(2, 2048)")
    run = example.run_pytest("--snapshot-update", outcomes={"failed": 1})
    assert "parity.failed" in run.codes
    assert run.touched_files == []

    recorded = example.run_pytest("--snapshot-update", "-o", "htp_policy=parity.failed:ignore", outcomes={"passed": 1})
    assert len(recorded.created_files) == 1
    run = example.run_pytest(outcomes={"failed": 1})
    assert "parity.failed" in run.codes
    assert "--snapshot-update" not in run.stdout, "nothing is offered that would not help"


@pytest.mark.parametrize("how", ["--htp-no-parity", "weights"])
def test_what_was_measured_on_another_graph_is_not_kept(tmp_path: Path, how: str) -> None:
    example = project(tmp_path, TEST.format(call=""))
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert example.baseline["attestation"]["measured"] is True
    change_the_model(example)
    if how == "weights":
        example.write({"test_net.py": TEST.format(call=", weights='none'").replace("make()", "make")})
        example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    else:
        example.run_pytest(how, "--snapshot-update", outcomes={"passed": 1})
    stored = example.baseline
    assert stored["parity"]["measured"] is stored["attestation"]["measured"] is False
    assert stored["weights"]["kept"] is (how != "weights")
    example.write({"test_net.py": TEST.format(call="")})
    example.run_pytest(outcomes={"passed": 1})
    assert example.run_pytest("--snapshot-update", outcomes={"passed": 1}).changed_files == example.baseline_paths
    assert example.baseline["parity"]["measured"] is True
