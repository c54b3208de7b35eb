"""What is shipped for GitHub Actions, pre-commit and git, run as they run it: real git, real bash, the shell steps read
from the shipped files."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import htp_warm
import onnx
import pytest
import yaml
from onnx import helper
from packaging.utils import canonicalize_name

from pytest_htp.format.serialize import dumps
from tests.compare._records import add_ops, bert, changed

ROOT = Path(__file__).resolve().parents[2]
BASELINE = "tests/__htp_baselines__/test_bert.json"


def model(path: Path, operators: list[str]) -> None:
    names = ["x", *(f"v{number}" for number, _ in enumerate(operators))]
    nodes = [
        helper.make_node(op, [before], [after], name=f"/block/act/{op}")
        for op, before, after in zip(operators, names, names[1:], strict=False)
    ]
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in (names[0], names[-1])]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", tensors[:1], tensors[1:])), path)


class Repository:
    """A clone with two committed files, one a model, and ``htp`` on its PATH."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder / "clone with spaces"
        (self.folder / BASELINE).parent.mkdir(parents=True)
        tools = folder / "bin"
        tools.mkdir()
        htp = tools / "htp"
        htp.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -m pytest_htp "$@"\n')
        htp.chmod(0o755)
        self.env = {
            **os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "COLUMNS": "100",
            "GIT_CONFIG_NOSYSTEM": "1", "PYTHONPATH": str(ROOT), "GIT_PAGER": "cat",
        }  # fmt: skip
        self.run("git", "init", "-q")
        for key, value in (("user.name", "A"), ("user.email", "a@example.com"), ("diff.tool", "none")):
            self.run("git", "config", key, value)
        model(self.folder / "a model.onnx", ["Relu", "Tanh"])
        (self.folder / BASELINE).write_text(dumps(bert()), "utf-8")
        self.run("git", "add", ".")
        self.run("git", "commit", "-qm", "first")

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def change(self) -> None:
        model(self.folder / "a model.onnx", ["Relu", "Sigmoid"])
        grown = changed(lambda rows: add_ops(rows["pooler"], {"Mul": 1}))
        (self.folder / BASELINE).write_text(dumps(grown), "utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Repository:
    return Repository(tmp_path, sys.executable)  # a forked Python has no pipes of bash's <(…)


@pytest.fixture
def forked(tmp_path: Path) -> Repository:
    return Repository(tmp_path, htp_warm.python())


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def _action(clone: Repository, **given: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """The shell step of action.yml as a runner runs it, and the job's summary."""
    action = _yaml("action.yml")
    step = next(step for step in action["runs"]["steps"] if step["name"] == "Compare")
    values = {name: str(item["default"]) for name, item in action["inputs"].items()} | {"base": "HEAD"} | given
    env = {name: values[text.removeprefix("${{ inputs.").removesuffix(" }}")] for name, text in step["env"].items()}
    summary = clone.folder.parent / "summary.md"
    summary.write_text("")
    script = clone.folder.parent / "step.sh"
    script.write_text(step["run"])
    command = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(script))
    done = clone.run(*command, env={**env, "GITHUB_STEP_SUMMARY": str(summary)})
    return done, summary.read_text("utf-8")


def test_the_action_says_what_changed_and_fails_from_a_verdict_on(clone: Repository) -> None:
    quiet, summary = _action(clone)
    assert (quiet.returncode, summary) == (0, ""), quiet.stderr
    clone.change()
    mild, summary = _action(clone)
    assert mild.returncode == 0, mild.stderr
    assert "| drift | ops.changed | block.act |" in summary
    assert "| drift | ops.changed | pooler |" in summary
    assert "/dev/fd" not in summary
    strict, summary = _action(clone, files="*.json", **{"fail-on": "drift"})
    assert strict.returncode == 1
    assert "block.act" not in summary


def test_the_action_names_a_base_that_was_not_fetched_and_a_broken_file(clone: Repository) -> None:
    unknown, _ = _action(clone, base="0123456789")
    assert unknown.returncode == 2
    assert "fetch-depth: 0" in unknown.stdout
    (clone.folder / BASELINE).write_text("{")
    broken, _ = _action(clone)
    assert broken.returncode == 2
    assert BASELINE in broken.stderr


# As an environment has it in which only these packages are installed.
ONLY = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
HEAD = '<ir_version: 8, opset_import: ["" : 18]> g (float[4] x) => (float[4] y) '


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{ a = Constant<value = float {4.0}>() b = Sqrt(a) m = Mul(x, b) y = Relu(m) }",
            "{ b = Constant<value = float {2.0}>() m = Mul(x, b) y = Relu(m) }",
            "once constants are folded",
        ),
        ("{ m = Neg(x) y = Relu(m) }", "{ y = Relu(x) }", "Neg 1 -> 0"),
    ],
)
def test_what_the_action_installs_is_all_that_comparing_needs(tmp_path: Path, old: str, new: str, said: str) -> None:
    asked = str(_yaml("action.yml")["inputs"]["install"]["default"]).split()
    installed = {canonicalize_name(name) for name in asked if not name.startswith(("-", "$"))}
    missing = {
        name
        for name, packages in packages_distributions().items()
        if name != "pytest_htp" and not installed & {canonicalize_name(package) for package in packages}
    }
    assert {"torch", "pytest", "filelock"} <= missing
    (tmp_path / "sitecustomize.py").write_text(ONLY.format(missing=missing))
    names = []
    for name, text in (("old", old), ("new", new)):
        ends = onnx.parser.parse_model(HEAD + text)
        ends.graph.node[-1].name = "/act/Relu"
        onnx.save(ends, tmp_path / f"{name}.onnx")
        names.append(f"{name}.onnx")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "pytest_htp", "compare", *names]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert said in " ".join(done.stdout.split()), done.stdout + done.stderr


def test_the_hook_compares_with_head_and_fails_from_its_argument_on(clone: Repository) -> None:
    (hook,) = _yaml(".pre-commit-hooks.yaml")
    entry = shlex.split(hook["entry"])
    files = ("a model.onnx", BASELINE)
    assert "unchanged" in clone.run(*entry, *hook["args"], BASELINE).stdout
    clone.change()
    (clone.folder / "new.onnx").write_bytes((clone.folder / "a model.onnx").read_bytes())
    mild = clone.run(*entry, *hook["args"], *files, "new.onnx")
    assert mild.returncode == 0, mild.stderr
    assert "block.act" in mild.stdout
    assert "pooler" in mild.stdout
    assert clone.run(*entry, "drift", BASELINE).returncode == 1


def test_git_diff_and_difftool_tell_findings(forked: Repository) -> None:
    (forked.folder / ".gitattributes").write_text("*.onnx diff=htp\n**/__htp_baselines__/*.json diff=htp\n")
    forked.run("git", "config", "diff.htp.command", _documented_driver())
    forked.change()
    shown = forked.run("git", "diff")
    assert shown.returncode == 0, shown.stderr
    assert "ops.changed  block.act" in shown.stdout
    assert "ops.changed  pooler" in shown.stdout
    tool = forked.run("git", "difftool", "-y", "-x", "htp compare", "--", "a model.onnx")
    assert "ops.changed  block.act" in tool.stdout, tool.stderr


def test_git_textconv_shows_module_trees(forked: Repository) -> None:
    (forked.folder / ".gitattributes").write_text("*.onnx diff=onnx\n")
    forked.run("git", "config", "diff.onnx.textconv", "htp show")
    model(forked.folder / "a model.onnx", ["Relu", "Tanh", "Tanh"])
    shown = forked.run("git", "diff", "--", "a model.onnx").stdout
    assert "-ONNX model without tags" in shown
    assert "3 nodes" in shown


def _documented_driver() -> str:
    """The value that the documentation tells to configure."""
    page = (ROOT / "docs/how-to/compare-any-two-files.md").read_text("utf-8")
    line = next(line for line in page.splitlines() if line.startswith("git config diff.htp.command"))
    return shlex.split(line)[-1]
