"""A file read by a process of its own answers as one that is read here; large files are read so."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytest_htp.errors import HTPUsageError
from pytest_htp.files.load import load_onnx
from pytest_htp.files.side import Elsewhere, Here, Side, two_sides

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


def saved(path: Path, layers: int, *, names: bool = True, outside: bool = False) -> Path:
    """Layers of a product and an activation, with weights of 1,600 bytes each."""
    nodes, weights, last = [], [], "x"
    for layer in range(layers):
        weights.append(numpy_helper.from_array(np.full((20, 20), layer % 5, np.float32), f"layers.{layer}.weight"))
        for operator, inputs in (("MatMul", [last, f"layers.{layer}.weight"]), ("Relu", [f"MatMul{layer}"])):
            name = f"/layers.{layer}/{operator}" if names else f"n{operator}{layer}"
            nodes.append(helper.make_node(operator, inputs, [f"{operator}{layer}"], name=name))
        last = f"Relu{layer}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 20]) for name in ("x", last)]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights))
    onnx.save(model, path, save_as_external_data=outside, location=f"{path.stem}.data", size_threshold=0)
    return path


def told(side: Side) -> list[object]:
    known = side.known
    weights = [(w.name, w.owner, w.kind, w.digest, w.bag, w.missing) for w in known.weights]
    rest = known.path, known.missing, known.source, known.note, known.modules, known.operators, known.typed
    return [rest, weights, side.surroundings(), side.start_record()()]


@pytest.mark.parametrize("outside", [False, True])
def test_a_process_of_its_own_tells_what_this_one_would(tmp_path: Path, outside: bool) -> None:
    path = str(saved(tmp_path / "m.onnx", 3, outside=outside))
    there, here = Elsewhere(load_onnx(path)), Here(load_onnx(path))
    try:
        assert told(there) == told(here)
        for side in (there, here):
            side.rename({"layers.1": "blocks.1"}, {"blocks.1": "Block"})
        assert there.known.modules["blocks.1"] == "Block"
        assert told(there) == told(here)
        assert told(there.here()) != told(here)  # read anew
    finally:
        there.close()
    assert there.process.exitcode is not None


def test_what_it_can_not_read_is_said_here(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", 2, outside=True)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../elsewhere"
    onnx.save(model, path)
    side = Elsewhere(load_onnx(str(path)))
    with pytest.raises(HTPUsageError, match="outside of the model's folder"):
        side.known  # noqa: B018
    side.close()


def test_a_process_that_was_killed_is_said(tmp_path: Path) -> None:
    side = Elsewhere(load_onnx(str(saved(tmp_path / "m.onnx", 2))))
    assert side.known.source == "names"
    side.process.kill()
    side.process.join()
    with pytest.raises(HTPUsageError, match="enough memory"):
        side.surroundings()
    side.close()


def test_small_files_are_read_here_and_large_ones_beside_each_other(tmp_path: Path) -> None:
    small, large = (load_onnx(str(saved(tmp_path / f"{n}.onnx", n))) for n in (2, 5_000))
    with two_sides(small, large) as sides:
        assert all(isinstance(side, Here) for side in sides)
    with two_sides(large, load_onnx(large.path)) as sides:
        if len(os.sched_getaffinity(0)) == 1:  # nothing is gained there
            assert isinstance(sides[1], Here)
            return
        assert isinstance(sides[1], Elsewhere)
        assert sides[0].known.modules == sides[1].known.modules
        process = sides[1].process
    assert process.exitcode is not None
