"""``htp tag``: tags carried onto what another tool made of a tagged file."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from htp_pairs import ConvNet, Encoder, save

from pytest_htp import HTPExporter
from pytest_htp.cli import main


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tagged file and what ONNX Runtime's optimizer, which drops all metadata, makes of it."""
    folder = tmp_path_factory.mktemp("tag")
    torch.manual_seed(0)
    tagged = folder / "tagged.onnx"
    HTPExporter(verbose=False, parity=False, tag_namespace="winml").export(
        Encoder().eval(), torch.ones(1, 6, dtype=torch.int64), tagged
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(tagged, options, providers=["CPUExecutionProvider"])
    other = save(ConvNet(), folder / "other.onnx", dynamo=False)
    return {"tagged": tagged, "optimized": folder / "optimized.onnx", "other": other}


def tags(path: Path) -> list[str | None]:
    nodes = onnx.load(path).graph.node
    props = [{entry.key: entry.value for entry in node.metadata_props} for node in nodes]
    return [found.get("winml.hierarchy.tag") for found in props]


def test_an_optimized_file_gets_its_tags_back(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not any(tags(files["optimized"]))
    before = files["optimized"].read_bytes()
    out = tmp_path / "out.onnx"
    assert main(["tag", str(files["optimized"]), "--from", str(files["tagged"]), "-o", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: coverage 100% of ")
    assert all(tags(out))
    assert set(filter(None, tags(out))) <= set(filter(None, tags(files["tagged"])))
    assert files["optimized"].read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]
    onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])


def test_weights_beside_the_file_go_beside_the_new_one(files: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(files["optimized"])
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "out.onnx"
    assert main(["tag", str(tmp_path / "m.onnx"), "--from", str(files["tagged"]), "-o", str(out)]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.onnx", "out.onnx.data"]
    onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("file", "tagged", "out", "message"),
    [
        ("other", "tagged", "out.onnx", "was not made of"),
        ("optimized", "other", "out.onnx", "holds no hierarchy tags"),
        ("optimized", "tagged", "no/out.onnx", "its folder does not exist"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_is_written(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    file: str, tagged: str, out: str, message: str,
) -> None:  # fmt: skip
    assert main(["tag", str(files[file]), "--from", str(files[tagged]), "-o", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
