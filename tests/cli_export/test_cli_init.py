"""``htp init`` finds saved models and writes a manifest that can be run as it is, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pytest_htp.cli import main
from pytest_htp.manifest.first import BIG, find_models, manifest_text
from pytest_htp.manifest.parse import read_manifest


def save(folder: Path, *files: str, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}), encoding="utf-8")
    for name in files:
        (folder / name).write_bytes(b"x")
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(tmp_path / "models/bert", "model.safetensors", architectures=["BertModel"])
    save(tmp_path / "models/old/gpt", "pytorch_model.bin", architectures=["GPT2LMHeadModel"])
    save(tmp_path / "node_modules/x")
    save(tmp_path / ".cache/y")
    (tmp_path / "models/bert/1_Pooling").mkdir()
    (tmp_path / "models/bert/1_Pooling/config.json").write_text('{"word_embedding_dimension": 8}')
    (tmp_path / "models/broken").mkdir()
    (tmp_path / "models/broken/config.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_manifest_for_what_is_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("models.htp.toml: 2 tests\n")
    assert output.endswith("next: pytest models.htp.toml --snapshot-update\n")
    text = (project / "models.htp.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text) == {
        "export": {
            "bert": {"model": "models/bert"},
            "gpt": {"model": "models/old/gpt", "weights": "none"},
        }
    }
    assert "# generation = true" in text
    assert [export.name for export in read_manifest(project / "models.htp.toml", "")] == ["bert", "gpt"]


def test_never_overwrites_without_force(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "models.htp.toml").write_text("mine", encoding="utf-8")
    assert main(["init"]) == 2
    assert capsys.readouterr().err == (
        "htp init: models.htp.toml is there already: write another with -o FILE, or replace it with --force\n"
    )
    assert (project / "models.htp.toml").read_text(encoding="utf-8") == "mine"
    assert main(["init", "--force"]) == 0
    assert "[export.bert]" in (project / "models.htp.toml").read_text(encoding="utf-8")


def test_one_config_and_another_folder_for_the_manifest(project: Path) -> None:
    assert main(["init", "models/bert/config.json", "-o", "tests/deep/nets.htp.toml"]) == 0
    text = (project / "tests/deep/nets.htp.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text) == {"export": {"bert": {"model": "../../models/bert"}}}


def test_same_names_and_odd_ones(tmp_path: Path) -> None:
    for folder in ("a/net", "b/net", "c d/ü [x]", 'e/".."', "f/c d/net", "g/c d/net"):
        save(tmp_path / folder)
    manifest = tmp_path / "models.htp.toml"
    manifest.write_text(manifest_text(find_models([tmp_path]), tmp_path), encoding="utf-8")
    exports = read_manifest(manifest, "")
    assert sorted(export.name for export in exports) == [
        "b-net", "bert", "c-d-net", "c-d-net-2", "net", "x",
    ]  # fmt: skip


def test_weights_too_big_for_one_file_are_left_out(tmp_path: Path) -> None:
    file = save(tmp_path / "big") / "model.safetensors"
    with file.open("wb") as stream:
        stream.truncate(BIG + 1)  # sparse
    text = manifest_text(find_models([tmp_path]), tmp_path)
    assert 'weights = "none"  # the structure alone: 2.1 GB of weights' in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "'nosuch': no such file or folder\n"),
        (["models/broken"], "no saved model in 'models/broken' (looked for folders with a config.json"),
        (["models/broken/config.json"], "'models/broken/config.json' is no transformers config"),
        (["-o", "models.toml"], "'models.toml': the name of a manifest ends with .htp.toml\n"),
        (["-o", "models/bert/config.json/m.htp.toml"], "models/bert/config.json/m.htp.toml can't be"),
    ],
)
def test_bad_input(project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["init", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"htp init: {message}")
    assert not list(project.rglob("*.htp.toml"))


def test_needs_no_torch(project: Path) -> None:
    code = (
        "import sys; from pytest_htp.cli import main; code = main(['init']);"
        "print(code, {'torch', 'transformers', 'onnx', 'rich', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n0 set()\n")
