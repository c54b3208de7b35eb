"""How long ``htp compare`` takes on files of many nodes, and how much memory on large weights. No torch.

``python -m benchmarks.any_two [--nodes 2000 20000 100000] [--megabytes 2000]``: each measured in a process of its own.
Prints JSON; ``microseconds_per_node`` is the CPU time for each node of both files and must not grow with their number.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks._measure import report


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


def measured(old: Path, new: Path) -> dict[str, float | int]:
    """One ``htp compare`` in a process of its own: its exit code, CPU seconds (the machine may be busy) and peak
    memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", _MEASURED, "compare", str(old), str(new)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    *_, peak, torch = found.stderr.split()
    if found.returncode > 1 or torch != "False":
        raise SystemExit(f"htp compare: exit {found.returncode}, torch imported: {torch}\n{found.stderr}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"exit": found.returncode, "cpu_seconds": round(seconds, 2), "peak_megabytes": int(peak)}


# The peak as /proc tells it: after a fork, ru_maxrss still holds the parent's.
_MEASURED = """
import sys
from benchmarks._measure import peak_rss
from pytest_htp.cli import main
code = main(sys.argv[1:])
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
        for count in arguments.nodes:
            many_nodes(folder / "a.onnx", count, -1)
            many_nodes(folder / "b.onnx", count, count // 20)
            found = measured(folder / "a.onnx", folder / "b.onnx")
            each = round(1e6 * found["cpu_seconds"] / (2 * count), 1)
            by_nodes.append({"nodes": count, **found, "microseconds_per_node": each})
        if arguments.megabytes:
            large_weights(folder / "c.onnx", arguments.megabytes, 1.0)
            large_weights(folder / "d.onnx", arguments.megabytes, 1.01)
            weights = {"megabytes": arguments.megabytes, **measured(folder / "c.onnx", folder / "d.onnx")}
    report({"benchmark": "any_two", "by_nodes": by_nodes, "weights": weights})


if __name__ == "__main__":
    main()
