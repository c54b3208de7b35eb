"""Our own share of an export against the number of nodes: it must stay linear.

    python benchmarks/scaling.py [--nodes 1000 10000 100000]

Makes graphs of repeated layers as the exporter would (call stacks on every node), and times what we add to an
export: tagging,
embedding, record, serialization, comparison. Prints the exponent of a log-log fit; expected at most 1.05.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

from _measure import report, seconds

_LAYER = (
    ("attention.query", "Linear", ("MatMul", "Add")),
    ("attention.key", "Linear", ("MatMul", "Add")),
    ("attention.value", "Linear", ("MatMul", "Add")),
    ("attention", "Attention", ("Transpose", "MatMul", "Softmax", "MatMul", "Reshape")),
    ("attention.out", "Linear", ("MatMul", "Add")),
    ("norm", "LayerNorm", ("LayerNormalization",)),
    ("mlp.up", "Linear", ("MatMul", "Add")),
    ("mlp.act", "GELU", ("Gelu",)),
    ("mlp.down", "Linear", ("MatMul", "Add")),
    ("", "Layer", ("Add",)),
)
_PER_LAYER = sum(len(operators) for _, _, operators in _LAYER)


def graph(nodes: int) -> tuple[Any, dict[str, Any]]:
    """A chain of identical layers with about ``nodes`` nodes, and its module table."""
    import onnx_ir as ir

    from pytest_htp.capture.hierarchy import retag
    from pytest_htp.vocabulary import ModuleInfo

    layers = max(1, nodes // _PER_LAYER)
    modules: dict[str, ModuleInfo] = {"": ModuleInfo("", "Model", calls=1, execution_order=0)}
    value = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2, 16, 64]))
    source, made = value, []
    for layer in range(layers):
        root = f"layer.{layer}"
        for relative, kind, operators in (("", "Layer", ()), ("attention", "Attention", ()), *_LAYER):
            path = f"{root}.{relative}".rstrip(".")
            modules.setdefault(path, ModuleInfo(path, kind, calls=1, execution_order=len(modules)))
            scopes = ["", root, *([f"{root}.attention"] if relative.startswith("attention") else []), path]
            scopes = list(dict.fromkeys(scopes))
            classes = [f"models.{modules.get(scope, ModuleInfo('', kind)).class_name}" for scope in scopes]
            for operator in operators:
                node = ir.Node("", operator, [value], num_outputs=1, name=f"n{len(made)}")
                node.outputs[0].name = f"v{len(made)}"
                node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
                node.metadata_props["pkg.torch.onnx.name_scopes"] = repr([*scopes, node.name])
                node.metadata_props["pkg.torch.onnx.class_hierarchy"] = repr([*classes, "aten.op"])
                made.append(node)
                value = node.outputs[0]
    model = ir.Model(ir.Graph([source], [value], nodes=made, opset_imports={"": 20}, name="main"), ir_version=10)
    retag(modules)
    return model, modules


def share(model: Any, modules: dict[str, Any]) -> None:
    """Everything we add between the exporter's result and the verdict."""
    from pytest_htp import compare_exports
    from pytest_htp.describe.build import build_record, describe_graph
    from pytest_htp.format.record import ModelRow
    from pytest_htp.format.serialize import dict_of, dumps
    from pytest_htp.tagging.embed import embed_tags
    from pytest_htp.tagging.tagger import tag_graph

    tagging = tag_graph(model, modules)
    assert tagging.coverage.coverage == 100.0
    embed_tags(tagging, "htp")
    described = describe_graph(tagging, parameters={}, named_outputs=False)
    record = dict_of(build_record(described, ModelRow(class_name="Model"), {}))
    dumps(record)
    assert not compare_exports(record, record).findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    points = []
    for nodes in arguments.nodes:
        model, modules = graph(nodes)
        share(model, modules)
        took = min(seconds(lambda: share(model, modules)) for _ in range(arguments.rounds))  # noqa: B023
        points.append((sum(1 for _ in model.graph), took))
    logs = [(math.log(nodes), math.log(took)) for nodes, took in points]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    exponent = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    report(
        {
            "benchmark": "scaling",
            "exponent": round(exponent, 3),
            "points": [
                {"nodes": nodes, "seconds": round(took, 4), "us_per_node": round(1e6 * took / nodes, 1)}
                for nodes, took in points
            ],
        }
    )


if __name__ == "__main__":
    main()
