"""Files made to harm: the commands refuse or read them, in words, and nothing of them reaches the terminal as it is."""

from __future__ import annotations

import tracemalloc
from functools import partial
from pathlib import Path

import pytest
from onnx import NodeProto, TensorProto, helper, save

from pytest_htp.cli import main
from pytest_htp.errors import HTPUsageError
from pytest_htp.files.load import load_onnx
from pytest_htp.format.given import MAX_ONNX, read_given

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
NAME = "<script>\x1b[31m::error::x\n\u202e%0A"


def _save(path: Path, nodes: list[NodeProto], output: str) -> str:
    graph = helper.make_graph(nodes, "g", [X], [helper.make_tensor_value_info(output, TensorProto.FLOAT, [2])])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return str(path)


def test_more_than_protobuf_can_hold_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # sparse
    for read, reason in ((load_onnx, "2 GiB, which protobuf"), (partial(read_given, limit=MAX_ONNX), "2047 MiB")):
        tracemalloc.start()
        with pytest.raises(HTPUsageError, match=f"large.onnx is larger than {reason}"):
            read(str(path))
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    length, size = bytearray(), len(content)
    while True:
        length.append(size & 127 | (128 if size > 127 else 0))
        size >>= 7
        if not size:
            return bytes([number << 3 | 2]) + bytes(length) + content


def _deep(path: Path, depth: int) -> str:
    """An If in the branch of an If, and so on, which no library can write."""
    body = _field(2, b"g") + _field(12, _field(1, b"y"))
    for _ in range(depth):
        branch = _field(1, b"then_branch") + b"\xa0\x01\x05" + _field(6, body)
        node = _field(1, b"c") + _field(2, b"y") + _field(4, b"If") + _field(5, branch)
        body = _field(1, node) + _field(2, b"g") + _field(12, _field(1, b"y"))
    path.write_bytes(b"\x08\x08" + _field(7, body) + _field(8, b"\x0a\x00\x10\x12"))
    return str(path)


def _cycle(path: Path) -> str:
    return _save(path, [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])], "b")


def _named(path: Path) -> str:
    node = helper.make_node("Relu", ["x"], ["y"], name=NAME)
    node.metadata_props.add(key="htp.hierarchy.tag", value=f"/Net/{NAME}")
    return _save(path, [node], "y")


@pytest.mark.parametrize("command", ["show", "compare"])
def test_what_is_nested_too_deep_is_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", _deep(tmp_path / "flat.onnx", 3)]) == 0, "the same, not so deep, is a graph"
    file = _deep(tmp_path / "deep.onnx", 10_000)
    assert main([command, *([file] if command == "show" else [file, file])]) == 2
    assert "nested deeper than protobuf reads" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "md", "json"])
def test_cycles_and_names_are_read_and_no_control_character_is_printed(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cycle, named = _cycle(tmp_path / "cycle.onnx"), _named(tmp_path / "named.onnx")
    assert main(["compare", cycle, named, "--format", form]) == 1
    said = "".join(capsys.readouterr())
    assert "Relu" in said or "Add" in said
    assert not {"\x1b", "\u202e"} & set(said)
    assert not any(line.startswith("::") for line in said.splitlines())
