"""How long ``htp compare`` takes on 100,000 nodes, and how much memory on large weights. No torch.

``python -m benchmarks.any_two [--nodes 100000] [--megabytes 2000]``: each measured in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper


def many_nodes(path: Path, count: int, extra: int) -> None:
    """A chain of layers of ten nodes each, named as the TorchScript exporter does; ``extra`` has one more."""
    nodes, last = [], "x"
    for number in range(count):
        layer, place = divmod(number, 10)
        nodes.append(
            helper.make_node("Relu", [last], [f"v{number}"], name=f"/layers.{layer}/act{place % 3}/Relu_{place}")
        )
        last = f"v{number}"
        if layer == extra and place == 4:
            nodes.append(helper.make_node("Tanh", [last], ["extra"], name=f"/layers.{layer}/act1/Tanh"))
            last = "extra"
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in ("x", last)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", tensors[:1], tensors[1:])), path)


def large_weights(path: Path, megabytes: int, scale: float) -> None:
    """Weights of 100 MB each in external data."""
    nodes, weights, last = [], [], "x"
    data = path.with_suffix(".data")
    with data.open("wb") as file:
        for number in range(max(megabytes // 100, 1)):
            array = np.random.default_rng(number).standard_normal((5000, 5000), dtype=np.float32) * np.float32(scale)
            name = f"layers.{number}.weight"
            tensor = numpy_helper.from_array(array[:0, :0], name)
            tensor.dims[:] = array.shape
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", file.tell()), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            file.write(array.tobytes())
            weights.append(tensor)
            nodes.append(helper.make_node("MatMul", [last, name], [f"v{number}"], name=f"/layers.{number}/MatMul"))
            last = f"v{number}"
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 5000]) for name in ("x", last)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", tensors[:1], tensors[1:], weights)), path)


def measured(old: Path, new: Path) -> str:
    """One ``htp compare`` in a process of its own: seconds, peak memory, what it said last."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest_htp", "compare", str(old), str(new)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return f"exit {found.returncode}, {seconds:.1f} s, peak {peak:.0f} MB\n{found.stdout[-400:]}{found.stderr[-400:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        folder = Path(made)
        many_nodes(folder / "a.onnx", arguments.nodes, -1)
        many_nodes(folder / "b.onnx", arguments.nodes, arguments.nodes // 20)
        print(f"{arguments.nodes:,} nodes: {measured(folder / 'a.onnx', folder / 'b.onnx')}")
        large_weights(folder / "c.onnx", arguments.megabytes, 1.0)
        large_weights(folder / "d.onnx", arguments.megabytes, 1.01)
        print(f"2 x {arguments.megabytes:,} MB: {measured(folder / 'c.onnx', folder / 'd.onnx')}")


if __name__ == "__main__":
    main()
