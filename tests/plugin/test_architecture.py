"""A finding goes the way that ARCHITECTURE.md says."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from htp_examples import change_the_model, project

import pytest_htp

PACKAGE = Path(pytest_htp.__file__).parent
# A wrapper begins before what it wraps. Records are checked wherever they come in; what would be wrong whatever a
# baseline says is looked for by a second comparison; generators are entered again and again, and every phase of a test
# has a report.
BEGINS_EARLIER = "around_call"
MORE_THAN_ONCE = {"record_of", "compare_exports", "Context.findings", "around_call", "put_on_report", "render_pages"}


def way() -> list[tuple[str, str]]:
    """File and function, in the order of the section's text."""
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text("utf-8")
    section = text.partition("## Following a finding")[2].partition("\n## ")[0]
    return re.findall(r"`([a-z_]+/[a-z_]+\.py)`\s+`([\w.]+)`", section)


def test_a_finding_goes_through_these_functions_in_this_order(tmp_path: Path) -> None:
    example = project(tmp_path)
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    change_the_model(example)
    calls: list[tuple[str, str]] = []
    steps = way()
    codes = {(str(PACKAGE / file), name.rpartition(".")[2]): (file, name) for file, name in steps}

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        step = codes.get((code.co_filename, code.co_name)) if event == "call" else None
        if step is not None and code.co_qualname == step[1]:
            calls.append(step)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        example.run_pytest(outcomes={"failed": 1})
    finally:
        sys.setprofile(before)
    assert len(steps) >= 15
    calls = calls[calls.index(steps[0]) :]  # the setup's report is before
    assert list(dict.fromkeys(call for call in calls if call[1] != BEGINS_EARLIER)) == [
        step for step in steps if step[1] != BEGINS_EARLIER
    ]
    counts = Counter(calls)
    assert {step[1] for step in steps if counts[step] > 1} <= MORE_THAN_ONCE
    assert all(counts[step] for step in steps)
