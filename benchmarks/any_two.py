"""How long ``htp compare`` takes on files of many nodes, and how much memory on large weights. No torch.

``python -m benchmarks.any_two [--nodes 2000 20000 100000] [--megabytes 2000]``: each measured in a process of its own.
Files of three kinds: many small modules (named as the TorchScript exporter does, no types), modules of a hundred nodes
with weights and types of all values, and the same without any names. Prints JSON; ``microseconds_per_node`` is the CPU
time for each node of both files and must not grow with their number; ``longest_cpu_seconds`` is that of the slower of
the two processes that share the work, which is what a quiet machine of two cores would take.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks._measure import report


def _saved(path: Path, nodes: list[onnx.NodeProto], last: str, dims: list[int], **more: Any) -> None:
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims) for name in ("x", last)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", tensors[:1], tensors[1:], **more)), path)


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
    _saved(path, nodes, last, [4])


# What a module of a hundred nodes repeats: operator, the results before (1: the last one) or weights it reads.
_BLOCK = (
    ("MatMul", 1, "weight"), ("Add", 1, "bias"), ("MatMul", 3, "weight"), ("Mul", 1, "half"), ("Transpose", 1),
    ("MatMul", 4, 1), ("Softmax", 1), ("MatMul", 1, 6), ("Sigmoid", 1), ("Add", 1, 10),
)  # fmt: skip


def large_modules(path: Path, count: int, extra: int, *, names: bool) -> None:
    """Modules of 100 nodes with two weights each and a type for every value; the one at ``extra`` has one more."""
    values, nodes, weights = ["x"], [], [numpy_helper.from_array(np.float32(0.5), "half")]
    for layer in range(count // 100):
        for name, dims in (("weight", (8, 8)), ("bias", (8,))):
            weights.append(numpy_helper.from_array(np.full(dims, layer, np.float32), f"layers.{layer}.{name}"))
        for place in range(100):
            operator, *reads = _BLOCK[place % len(_BLOCK)]
            stored = {"weight": f"layers.{layer}.weight", "bias": f"layers.{layer}.bias", "half": "half"}
            given = [stored[read] if isinstance(read, str) else values[-min(read, len(values))] for read in reads]
            steps = [(operator, given)]
            if layer == extra and place == 44:
                steps.append(("Tanh", [f"v{len(nodes)}"]))
            for made, inputs in steps:
                name = f"/layers.{layer}/{made}_{place}" if names else f"n{len(nodes)}"
                nodes.append(helper.make_node(made, inputs, [f"v{len(nodes)}"], name=name))
                values.append(f"v{len(nodes) - 1}")
    types = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [8, 8]) for name in values[1:-1]]
    _saved(path, nodes, values[-1], [8, 8], initializer=weights, value_info=types)


KINDS: dict[str, Callable[[Path, int, int], None]] = {
    "small modules": many_nodes,
    "large modules": partial(large_modules, names=True),
    "no modules": partial(large_modules, names=False),
}


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
    _saved(path, nodes, last, [1, 5000], initializer=weights)


def measured(old: Path, new: Path) -> dict[str, float | int]:
    """One ``htp compare`` in a process of its own: its exit code, CPU seconds (the machine may be busy) and peak
    memory."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", _MEASURED, "compare", str(old), str(new)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    *_, longest, peak, torch = found.stderr.split()
    if found.returncode > 1 or torch != "False":
        raise SystemExit(f"htp compare: exit {found.returncode}, torch imported: {torch}\n{found.stderr}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "exit": found.returncode, "seconds": round(ended - started, 2), "cpu_seconds": round(seconds, 2),
        "longest_cpu_seconds": float(longest), "peak_megabytes": int(peak),
    }  # fmt: skip


# The peak as /proc tells it: after a fork, ru_maxrss still holds the parent's.
_MEASURED = """
import resource, sys, time
from benchmarks._measure import peak_rss
from pytest_htp.cli import main
code = main(sys.argv[1:])
other = resource.getrusage(resource.RUSAGE_CHILDREN)
print(round(max(time.process_time(), other.ru_utime + other.ru_stime), 2), file=sys.stderr)
print(peak_rss() // 10**6, "torch" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="*", default=[2_000, 20_000, 100_000])
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    by_nodes, weights = [], None
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        folder = Path(made)
        for count, (kind, make) in product(arguments.nodes, KINDS.items()):
            make(folder / "a.onnx", count, -1)
            make(folder / "b.onnx", count, count // 200)
            found = measured(folder / "a.onnx", folder / "b.onnx")
            each = round(1e6 * found["cpu_seconds"] / (2 * count), 1)
            by_nodes.append({"nodes": count, "kind": kind, **found, "microseconds_per_node": each})
        if arguments.megabytes:
            large_weights(folder / "c.onnx", arguments.megabytes, 1.0)
            large_weights(folder / "d.onnx", arguments.megabytes, 1.01)
            weights = {"megabytes": arguments.megabytes, **measured(folder / "c.onnx", folder / "d.onnx")}
    report({"benchmark": "any_two", "by_nodes": by_nodes, "weights": weights})


if __name__ == "__main__":
    main()
