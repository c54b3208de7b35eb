"""The ``htp`` command: exit codes, formats, bad input, and that it needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_htp.cli import main
from pytest_htp.format.serialize import dumps
from tests.compare._records import Record, add_ops, bert, changed

Write = Callable[[str, Record], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(name: str, record: Record) -> str:
        path = tmp_path / name
        path.write_text(dumps(record), "utf-8")
        return str(path)

    return run


def pooler_changed() -> Record:
    return changed(lambda rows: add_ops(rows["pooler"], {"Mul": 1}))


def test_compare_exits_by_what_it_finds(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write("old.json", bert()), write("new.json", pooler_changed())
    assert main(["compare", old, old]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert main(["compare", old, new]) == 1
    assert "drift       ops.changed  pooler" in capsys.readouterr().out
    assert main(["compare", old, new, "--fail-on", "regression"]) == 0
    assert main(["compare", old, new, "--policy", "ops.changed:ignore"]) == 0


def test_compare_writes_json_and_markdown(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write("old.json", bert()), write("new.json", pooler_changed())
    main(["compare", old, new, "--format", "json"])
    result = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "drift"
    assert [(finding["code"], finding["module"]) for finding in result["findings"]] == [("ops.changed", "pooler")]
    main(["compare", old, new, "--format", "md"])
    assert "| drift | ops.changed | pooler |" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["compare", "a"], ["show", "a", "--depth", "0"]])
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: htp" in capsys.readouterr().err


def test_bad_files_exit_with_2_and_one_clean_line(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write("good.json", bert())
    bad = tmp_path / "bad\x1b[31m\n.json"
    bad.write_text("{")
    for arguments in (["compare", good, str(bad)], ["compare", good, "absent"], ["show", str(bad)],
                      ["show", str(tmp_path)], ["compare", good, good, "--policy", "x"]):  # fmt: skip
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("htp ")
        assert err.removesuffix("\n").isprintable()


def test_show_draws_a_baseline(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    record = pooler_changed()
    record["modules"][1]["class"] = "Evil\x1b[31m"
    assert main(["show", write("b.json", record)]) == 0
    out = capsys.readouterr().out
    assert "baseline of BertModel, 280 nodes, coverage 100%" in out
    assert "layer.{0..11} BertLayer ×12" in out
    assert "\x1b" not in out


def test_show_draws_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metadata: dict[str, Any] = {
        "schema": "pytest-htp/metadata/1",
        "model": {"class": "Net"},
        "hierarchy": {
            "": {"class": "Net", "tag": "/Net", "execution_order": 0, "calls": 1},
            "fc": {"class": "Linear", "tag": "/Net/Linear.fc", "execution_order": 1, "calls": 1},
        },
        "nodes": {
            "a": {"tag": "/Net/Linear.fc", "evidence": "direct"},
            "b": {"tag": None, "evidence": "none"},
        },
        "tagging": {"tagging_stats": {"coverage": 50.0, "direct_coverage": 50.0}},
    }
    path = tmp_path / "net_htp_metadata.json"
    path.write_text(json.dumps(metadata))
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "metadata of Net, 2 nodes, coverage 50%" in out
    assert "fc Linear" in out
    assert "1 node in no module" in out
    for broken in ({**metadata, "nodes": [1]}, {**metadata, "hierarchy": {"": 3}}):
        path.write_text(json.dumps(broken))
        assert main(["show", str(path)]) == 2
        assert "must be an object of objects" in capsys.readouterr().err


def test_show_draws_a_tagged_onnx_of_any_namespace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onnx import helper

    body_node = helper.make_node("Neg", ["x"], ["b"])
    body = helper.make_graph([body_node], "body", [], [])
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("If", ["y"], ["z"], then_branch=body)]
    graph = helper.make_graph(nodes, "g", [], [])
    tags = [(graph.node[0], "/Net/Block.layers.0/ReLU.act"), (graph.node[1], "/Net"),
            (graph.node[1].attribute[0].g.node[0], "/Net/Block.layers.0")]  # fmt: skip
    for node, tag in tags:
        for key, value in (("tag", tag), ("evidence", "direct")):
            node.metadata_props.add(key=f"winml.hierarchy.{key}", value=value)
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "tagged ONNX model, 3 nodes, coverage 100%, direct 100%" in out
    assert "layers.0 Block · 2 nodes, direct\n" in out
    assert "act ReLU · 1 node, direct · Relu\n" in out
    assert main(["show", str(path), "--format", "json"]) == 0
    modules = {module["path"]: module.get("operators") for module in json.loads(capsys.readouterr().out)["modules"]}
    assert modules == {"": {"If": 1}, "layers.0": {"Neg": 1}, "layers.0.act": {"Relu": 1}}

    plain = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], []))
    path.write_bytes(plain.SerializeToString())
    assert main(["show", str(path)]) == 0
    assert "without tags; modules by nothing: it is one module, the root, 1 node" in capsys.readouterr().out
    path.write_bytes(b"\xffno model")
    assert main(["show", str(path)]) == 2
    assert "not an ONNX model" in capsys.readouterr().err


def test_neither_command_imports_anything_heavy(write: Write) -> None:
    old, new = write("old.json", bert()), write("new.json", pooler_changed())
    program = (
        "import sys; from pytest_htp.cli import main\n"
        f"main(['compare', {old!r}, {new!r}]); main(['show', {old!r}])\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnx_ir', 'onnxscript', 'onnxruntime'}\n"
        "heavy |= {'rich', 'numpy', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_it_runs_as_a_module_and_survives_a_closed_pipe_and_a_poor_encoding(write: Write) -> None:
    path = write("b.json", bert())
    command = f'PYTHONIOENCODING=ascii "{sys.executable}" -m pytest_htp show "{path}" | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() == path
    closed = f'"{sys.executable}" -m pytest_htp show "{path}" | true; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", closed], capture_output=True, text=True, check=True)
    assert done.stdout == "141\n", "a gate whose words nobody reads is not green"
    assert done.stderr == ""
