"""``linear_matching`` saves time and changes nothing."""

import onnx_ir as ir
import pytest
import torch
from onnxscript.rewriter import _matcher

from fixtures.plain import MODELS
from pytest_htp.capture.matching import linear_matching


def _exported(name: str) -> list[tuple[object, ...]]:
    fixture = MODELS[name]
    model, inputs = fixture.make(), fixture.inputs()
    program = torch.onnx.export(model, (), kwargs=dict(inputs), dynamo=True, verbose=False)
    assert program is not None
    return [
        (
            node.op_type,
            node.name,
            tuple(value.name if value is not None else None for value in node.inputs),
            tuple(value.name for value in node.outputs),
        )
        for node in ir.traversal.RecursiveGraphIterator(program.model.graph)
    ]


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch of its own code
@pytest.mark.parametrize("name", ["convnet", "nest", "branches"])
def test_the_graph_is_the_same(name):
    without = _exported(name)
    with linear_matching():
        watched = _exported(name)
    assert watched == without


def test_several_outputs_are_still_matched():
    """A rule with two output nodes finds what it found before."""
    from onnxscript.rewriter import pattern

    def target(op, x):
        return op.Sin(x), op.Cos(x)

    def replacement(op, x):
        return op.SinCos(x, _domain="test", _outputs=["sine", "cosine"])

    def rewritten() -> list[str]:
        x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))
        nodes = [ir.Node("", "Neg", [x]), ir.Node("", "Sin", [x]), ir.Node("", "Cos", [x]), ir.Node("", "Cos", [x])]
        graph = ir.Graph(
            [x], [node.outputs[0] for node in nodes], nodes=nodes, opset_imports={"": 20, "test": 1}, name="g"
        )
        model = ir.Model(graph, ir_version=10)
        rule = pattern.RewriteRule(target, replacement)
        rule.apply_to_model(model)
        return [node.op_type for node in model.graph]

    without = rewritten()
    with linear_matching():
        assert rewritten() == without
    assert "SinCos" in without


def test_the_matcher_is_put_back():
    original = _matcher.SimplePatternMatcher.match

    def fail_inside() -> None:
        with linear_matching():
            assert _matcher.SimplePatternMatcher.match is not original
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert _matcher.SimplePatternMatcher.match is original
