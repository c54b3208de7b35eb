"""The CI recipes are valid YAML and say what the plugin knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {"--htp-report", "--junitxml", "--snapshot-update", "--htp-prune", "--no-deps", "--shards"}


def load(name: str) -> dict[Any, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    document: dict[Any, Any] = yaml.safe_load((ROOT / "examples" / name).read_text("utf-8"))
    return document


def test_github_recipe_uploads_the_report_whatever_happened() -> None:
    jobs = load("github-actions.yml")["jobs"]
    assert set(jobs) == {"exports", "merge", "update-baselines"}
    for job in jobs.values():
        uploads = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
        assert uploads
        assert all(step["if"] == "always()" for step in uploads)
    assert len(jobs["exports"]["strategy"]["matrix"]["include"]) == 3
    merge = next(step["run"] for step in jobs["merge"]["steps"] if "htp merge" in step.get("run", ""))
    assert "--shards 3 " in merge


def test_gitlab_recipe_merges_every_shard() -> None:
    jobs = load("gitlab-ci.yml")
    shards = jobs["exports"]["parallel"]["matrix"][0]["SHARD"]
    merge = next(line for line in jobs["merge-exports"]["script"] if line.startswith("htp merge"))
    assert merge == f"htp merge {' '.join(f'shards/{shard}' for shard in shards)} -o htp-report"
    assert jobs["exports"]["artifacts"]["reports"]["junit"] == "junit-*.xml"


@pytest.mark.parametrize(
    "path", ["examples/github-actions.yml", "examples/gitlab-ci.yml", "docs/how-to/ci-workflows.md"]
)
def test_options_exist(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    commands = re.findall(r"(?m)^.*\b(?:pytest|pip|htp) .*$", text)
    assert commands
    assert set(re.findall(r"(?<=\s)--[\w-]+", "\n".join(commands))) <= KNOWN
