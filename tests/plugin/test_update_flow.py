"""The update flow: missing, made, kept, changed, accepted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from htp_examples import change_the_model, project


def test_the_life_of_a_baseline(tmp_path: Path) -> None:
    example = project(tmp_path)

    missing = example.run_pytest(outcomes={"failed": 1})
    assert missing.touched_files == []
    assert missing.export["baseline_status"] == "missing"
    command = next(line.strip() for line in missing.stdout.splitlines() if "--snapshot-update" in line)
    words = shlex.split(command)
    assert words[0] == "pytest"

    made = example.run_pytest(*words[1:], outcomes={"passed": 1})  # the printed command, as printed
    assert [re.sub(r"[0-9a-f]{8}", "HEX", name) for name in made.created_files] == [
        "__htp_baselines__/test_net/test_net-HEX.json"
    ]
    assert made.export["baseline"] == made.created_files[0]
    assert "htp: baselines: 1 created" in made.stdout

    kept = example.run_pytest(outcomes={"passed": 1})
    assert kept.touched_files == []
    assert kept.export["verdict"] == "unchanged"
    assert kept.findings == []
    assert "1 snapshot passed" in kept.stdout

    change_the_model(example)
    changed = example.run_pytest(outcomes={"failed": 1})
    assert changed.touched_files == []
    assert changed.codes == {"ops.changed"}
    assert "Tanh" in changed.stdout
    assert changed.export["commands"]["accept"] in changed.stdout

    accepted = example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert accepted.changed_files == made.created_files
    assert accepted.touched_files == made.created_files
    assert "htp: baselines: 1 updated" in accepted.stdout
    example.run_pytest(outcomes={"passed": 1})
