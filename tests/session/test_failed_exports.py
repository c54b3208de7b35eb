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


EVIL = """
import torch
from net import Raises, X

class Colours(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("first line\\n\\x1b[96msecond line\\x1b[0m")

def test_class(htp_export):
    htp_export(type("\\u202eevil\\x1b[31m\\nowned", (Raises,), {})(), X)

def test_colours(htp_export):
    htp_export(Colours(), X)
"""


def test_names_and_messages_act_on_nothing(tmp_path: Path) -> None:
    run = project(tmp_path, EVIL).run_pytest("--color=no", outcomes={"failed": 2})
    assert run.stdout.replace("\n", "").isprintable()
    assert r"export of \u202eevil\x1b[31m\nowned failed in step 3/8" in run.stdout
    by_name = {export["name"]: export for export in run.exports}
    assert r"export of \u202eevil\x1b[31m\nowned failed in step 3/8" in by_name["test_class"]["error"]["message"]

    colours = by_name["test_colours"]
    assert "first line\nsecond line" in colours["error"]["message"]
    assert "x1b" not in colours["console"] + colours["console_html"], "colour codes of messages are gone"
    assert "<span" in colours["console_html"], "the log has colours of its own"
