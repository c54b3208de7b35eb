"""What ``htp compare`` and ``htp show`` accept as a file, and what they make of hostile or wrong content."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_htp.cli import main
from pytest_htp.errors import HTPUsageError
from pytest_htp.format import given
from pytest_htp.format.given import read_given
from pytest_htp.format.serialize import dumps
from tests.compare._records import bert

EVIL = "\u202eevil\x1b[31m\x1b[2J"


def metadata(**changes: Any) -> dict[str, Any]:
    return {
        "schema": "pytest-htp/metadata/1",
        "model": {"class": "Net"},
        "hierarchy": {"": {"class": "Net", "tag": "/Net", "execution_order": 0, "calls": 1}},
        "nodes": {"a": {"tag": "/Net", "evidence": "direct"}},
        **changes,
    }


def test_show_prints_hostile_names_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = bert()
    record["model"]["class"] = EVIL
    record["modules"][0]["class"] = EVIL
    (tmp_path / "b.json").write_text(dumps(record), "utf-8")
    hostile = metadata(
        model={"class": EVIL},
        hierarchy={"": {"class": EVIL, "tag": f"/{EVIL}"}, EVIL: {"class": EVIL, "tag": EVIL, "calls": 1}},
        nodes={EVIL: {"tag": EVIL, "evidence": EVIL}},
    )
    (tmp_path / "m.json").write_text(json.dumps(hostile), "utf-8")
    for name in ("b.json", "m.json"):
        assert main(["show", str(tmp_path / name)]) == 0
        out = capsys.readouterr().out
        assert out.replace("\n", "").isprintable()
        assert r"\u202eevil\x1b[31m" in out


def test_pipes_and_links_that_were_typed_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, pipe, link = tmp_path / "b.json", tmp_path / "pipe", tmp_path / "link"
    file.write_text(dumps(bert()), "utf-8")
    link.symlink_to(file)
    for arguments in (["show", str(pipe)], ["compare", str(pipe), str(link)]):
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_bytes(file.read_bytes()))
        writer.start()
        assert main(arguments) == 0, capsys.readouterr().err
        writer.join()
        pipe.unlink()
    assert main(["show", str(link)]) == 0


def test_process_substitution_works(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(dumps(bert()), "utf-8")
    command = f'"{sys.executable}" -m pytest_htp compare <(cat b.json) <(cat b.json)'
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_onnx_in_a_pipe_is_told_by_its_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onnx import helper

    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    graph.node[0].metadata_props.add(key="htp.hierarchy.tag", value="/Net")
    path = tmp_path / "fd"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert main(["show", str(path)]) == 0
    assert "tagged ONNX model, 1 node" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.onnx", b"", "not an ONNX model (it is empty)"),
        ("bare.onnx", b"\x08\x0a", "not an ONNX model (it has no graph)"),
        ("m.json", json.dumps(metadata(schema="pytest-htp/metadata/9")).encode(), "update it"),
        ("m.json", json.dumps(metadata(schema="pytest-htp/metadata/\x1b[31m")).encode(), "update it"),
    ],
)
def test_bad_content_exits_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["show", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.removesuffix("\n").isprintable()


def test_an_onnx_without_the_package_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x0a")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["show", str(tmp_path / "m.onnx")]) == 2
    assert "needs the package onnx: pip install onnx" in capsys.readouterr().err


def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 101)
    for path in (str(tmp_path / "large"), "/dev/zero"):
        with pytest.raises(HTPUsageError, match="is larger than"):
            read_given(path, 100)
    assert len(read_given(str(tmp_path / "large"), 101)) == 101


def test_a_link_to_itself_a_folder_and_a_strange_path_are_refused(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (str(circle), str(tmp_path), "a\0b", str(tmp_path / "absent")):
        with pytest.raises(HTPUsageError) as caught:
            given.read_given(path)
        assert str(caught.value).isprintable()
