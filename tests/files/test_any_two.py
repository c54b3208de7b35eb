"""``htp compare`` on files from two exporters, two releases, before and after a tool: what is real, and where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import htp_pairs
import onnx
import pytest
import torch
from htp_pairs import ConvNet, Encoder, LastHidden, Wrapper, save, without_modules
from transformers import AutoConfig, BertModel

from fixtures import config_dir
from pytest_htp.cli import main


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    torch.manual_seed(0)
    model, changed, net = Encoder(), Encoder(squashed=1), ConvNet()
    changed.load_state_dict(model.state_dict())
    made = {}
    for name, module in (("encoder", model), ("changed", changed), ("net", net)):
        for exporter in ("dynamo", "script"):
            file = save(module, folder / f"{name}_{exporter}.onnx", dynamo=exporter == "dynamo")
            made[f"{name}_{exporter}"] = file
    for name in ("encoder_dynamo", "changed_dynamo"):
        made[f"{name}_bare"] = without_modules(made[name])
    made["wrapped"] = save(Wrapper(model), folder / "wrapped.onnx", dynamo=True)
    made["old_opset"] = save(model, folder / "old_opset.onnx", dynamo=False, opset=14)
    torch.manual_seed(1)
    other = Encoder()
    other.load_state_dict({**model.state_dict(), "blocks.0.attention.q.weight": torch.rand(16, 16)})
    made["retrained"] = save(other, folder / "retrained.onnx", dynamo=True)
    return made


def compare(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    code = main(["compare", *map(str, arguments), "--format", "json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else {"error": captured.err}


def found(comparison: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(f["code"], f["module"]) for f in comparison["findings"] if f["verdict"] != "info"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encoder_dynamo", "encoder_dynamo"),
        ("encoder_script", "encoder_dynamo"),
        ("encoder_dynamo", "encoder_script"),
        ("net_script", "net_dynamo"),
        ("encoder_dynamo", "wrapped"),
        ("encoder_script", "wrapped"),
        ("encoder_dynamo", "encoder_dynamo_bare"),
        ("encoder_dynamo", "retrained"),
    ],
)
def test_equal_models_give_information_at_most(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    code, comparison = compare(capsys, files[old], files[new])
    assert (code, found(comparison)) == (0, [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("encoder_dynamo", "changed_dynamo"),
        ("encoder_script", "changed_script"),
        ("encoder_script", "changed_dynamo"),
        ("encoder_dynamo", "changed_script"),
        ("wrapped", "changed_script"),
    ],
)
def test_a_change_is_found_on_its_module(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    code, comparison = compare(capsys, files[old], files[new])
    prefix = "model." if old == "wrapped" else ""
    assert (code, found(comparison)) == (1, [("ops.changed", f"{prefix}blocks.1")])
    assert "Tanh 0 -> 1" in comparison["findings"][0]["message"]


def test_without_modules_the_weights_nearby_say_where(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, comparison = compare(capsys, files["encoder_dynamo_bare"], files["changed_dynamo_bare"])
    assert (code, found(comparison)) == (1, [("ops.changed", "")])
    message = comparison["findings"][0]["message"]
    assert message.startswith("Tanh 0 -> 1;")
    assert message.endswith("; near blocks.1.attention.out.bias")


def test_layer_norms_written_out_are_no_difference_but_the_opset_is(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = compare(capsys, files["old_opset"], files["encoder_dynamo"])[1]
    assert found(comparison) == [("opset.changed", None)]


def test_within_one_exporter_a_norm_written_out_is_a_fusion_lost(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = compare(capsys, files["encoder_script"], files["old_opset"])[1]
    assert ("fusion.lost", "blocks.{0..1}.norm") in found(comparison)


def test_other_values_are_counted_and_placed(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    findings = compare(capsys, files["encoder_dynamo"], files["retrained"])[1]["findings"]
    (values,) = [finding for finding in findings if finding["code"] == "weights.values"]
    assert values["message"].startswith("1 of ")
    assert values["message"].endswith("in blocks.0.attention.q")


def test_unrelated_models_are_told_in_one_line(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, comparison = compare(capsys, files["encoder_dynamo"], files["net_script"])
    assert (code, found(comparison)) == (1, [("model.unrelated", None)])


def test_weights_that_are_missing_are_said_and_the_graph_is_compared(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(files["changed_dynamo"])
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert found(compare(capsys, files["encoder_dynamo"], tmp_path / "m.onnx")[1]) == [("ops.changed", "blocks.1")]
    (tmp_path / "m.data").unlink()
    comparison = compare(capsys, files["encoder_dynamo"], tmp_path / "m.onnx")[1]
    assert ("ops.changed", "blocks.1") in found(comparison)
    assert "is missing" in comparison["notes"][0]


@pytest.mark.parametrize("location", ["../m.data", "/etc/passwd", "link.data"])
def test_external_data_outside_of_the_folder_is_refused(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], location: str
) -> None:
    (tmp_path / "m.data").write_bytes(bytes(100_000))
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "link.data").symlink_to(tmp_path / "m.data")
    model = onnx.load(files["net_script"])
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value=location)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    code, comparison = compare(capsys, folder / "m.onnx", files["net_script"])
    assert code == 2
    assert "outside of the model's folder" in comparison["error"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"PK\x03\x04 not a model", "not an ONNX model"), (None, "cut off"), (b"\x08\x0a", "no graph")],
)
def test_what_is_no_model_is_bad_input(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(files["net_script"].read_bytes()[:-100] if content is None else content)
    code, comparison = compare(capsys, broken, files["net_script"])
    assert code == 2
    assert message in comparison["error"]
    assert comparison["error"].count("\n") == 1


def test_hostile_names_stay_text(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(files["net_script"])
    for number, node in enumerate(model.graph.node):
        node.name = ("/..//x", "/a\x1b[2J/b/Relu", "/" + "x." * 50 + "/Conv", "/é/%2F/Gemm")[number % 4]
    onnx.save(model, tmp_path / "m.onnx")
    assert main(["compare", str(files["net_script"]), str(tmp_path / "m.onnx")]) in (0, 1)
    assert "\x1b" not in capsys.readouterr().out


def test_no_torch_is_imported(files: dict[str, Path]) -> None:
    code = (
        "import sys; from pytest_htp.cli import main;"
        f"main(['compare', {str(files['encoder_script'])!r}, {str(files['encoder_dynamo'])!r}]);"
        "sys.exit(bool({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_models_here_differ_in_nothing_but_the_planted_change() -> None:
    assert {name for name, _ in Encoder().named_modules()} == {name for name, _ in Encoder(1).named_modules()}
    assert htp_pairs.Block(squashed=True).squashed


def test_equal_weights_of_a_fresh_model_do_not_rename_what_was_carried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fresh norms and biases are all alike, so weights can't tell which module is which; where nodes come from can."""
    config = AutoConfig.from_pretrained(config_dir("bert"), attn_implementation="eager")
    torch.manual_seed(0)
    file = save(LastHidden(BertModel(config)), tmp_path / "bert.onnx", dynamo=True, opset=20)
    code, comparison = compare(capsys, file, without_modules(file))
    assert (code, found(comparison)) == (0, [])
