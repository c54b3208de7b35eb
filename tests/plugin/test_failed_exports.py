"""What the report keeps of an export that failed, and what it offers to accept."""

from __future__ import annotations

from pathlib import Path

from htp_examples import CHANGED, change_the_model, project, recorded


def test_a_failed_export_keeps_its_baseline(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    example.replace("net.py", CHANGED[0], "raise RuntimeError('now')")
    run = example.run_pytest(outcomes={"failed": 1})
    (baseline,) = example.baselines
    export = run.export
    assert (export["baseline"], export["baseline_status"]) == (baseline, "changed")
    assert export["before"] == example.baselines[baseline]
    assert export["coverage_before"] == export["before"]["coverage"]
    assert export["model_class"] == "Net"
    assert export["commands"]["accept"] == ""
    page = (example.folder / "htp-report" / "index.html").read_text("utf-8")
    assert f"Baseline: <code>{baseline}</code>" in page
    assert "Net" in page
    assert "--snapshot-update" not in page
    assert 'm-changed">changed' not in page, "no toolchain is known that could differ"

    example.write({baseline: "{"})
    assert example.run_pytest(outcomes={"failed": 1}).export["baseline_status"] == "error"
    (example.folder / baseline).unlink()
    assert example.run_pytest(outcomes={"failed": 1}).export["baseline_status"] == "missing"


def test_accepting_is_offered_only_where_there_is_something_to_accept(tmp_path: Path) -> None:
    example = project(tmp_path)
    assert "--snapshot-update" in example.run_pytest(outcomes={"failed": 1}).export["commands"]["accept"]
    made = example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert (made.export["baseline_status"], made.export["commands"]["accept"]) == ("created", "")
    example.replace("test_net.py", "parity=False)", "parity=False)\n    assert 1 == 2")
    unchanged = example.run_pytest(outcomes={"failed": 1})
    assert (unchanged.export["baseline_status"], unchanged.export["commands"]["accept"]) == ("unchanged", "")
    page = (example.folder / "htp-report" / "index.html").read_text("utf-8")
    assert "Reproduce" in page
    assert "--snapshot-update" not in page
    change_the_model(example)
    changed = example.run_pytest(outcomes={"failed": 1})
    assert "--snapshot-update" in changed.export["commands"]["accept"]
