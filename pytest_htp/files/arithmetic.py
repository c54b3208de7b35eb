"""What a module computes, whichever operators it is written in: what two exporters' graphs can be held against.

Exporters write the same module in other operators: ``Gemm`` or ``MatMul`` and ``Add``, ``LayerNormalization`` or nine
small ones, shapes computed or constant. Here fused operators are written out, and what only moves data is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import onnx_ir as ir

from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import NodeFacts

_NORM = "ReduceMean 2 Add 3 Product 2 Sqrt 1 Division 1"
# Operator → what it is written out as by exporters that don't have it.
_PARTS = {
    "Gemm": "MatMul 1 Add 1",
    "FusedMatMul": "MatMul 1",
    "LayerNormalization": _NORM,
    "SkipLayerNormalization": f"{_NORM} Add 1",
    "RMSNormalization": "ReduceMean 1 Add 1 Product 3 Sqrt 1 Division 1",
    "SimplifiedLayerNormalization": "ReduceMean 1 Add 1 Product 3 Sqrt 1 Division 1",
    "Gelu": "Erf 1 Add 1 Product 3",
    "BiasGelu": "Erf 1 Add 2 Product 3",
    "FastGelu": "Tanh 1 Add 2 Product 6",
    "Swish": "Sigmoid 1 Product 1",
    "QuickGelu": "Sigmoid 1 Product 2",
    "HardSwish": "HardSigmoid 1 Product 1",
    "Attention": "MatMul 2 Softmax 1",
    "MultiHeadAttention": "MatMul 2 Softmax 1",
    "Sub": "Add 1",
    "Sum": "Add 1",
    "Mul": "Product 1",
    "Div": "Product 1",
    "Division": "Product 1",
    "Pow": "Product 1",
    "Reciprocal": "Product 1",
    "GlobalAveragePool": "ReduceMean 1",
    "Clip": "Clip 1",
}
_MOVES = frozenset(
    """
    Reshape Transpose Shape Size Gather GatherElements GatherND Concat Unsqueeze Squeeze Slice Expand Identity Constant
    Flatten ConstantOfShape Cast CastLike Range Where Equal Split Tile Pad And Or Not Less LessOrEqual Greater
    GreaterOrEqual Trilu ScatterND Mod Min Max Dropout
    """.split()  # noqa: SIM905
)
# A scale may be multiplied in once or on both sides, computed or constant, and a mask added in several forms.
_ATTENTION_SLACK = frozenset({"Product", "Sqrt", "Add", "IsNaN"})
# They belong to the module whose value they convert, for the sake of the one that takes it.
_CONVERTERS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear"})


def arithmetic(ops: Mapping[str, int]) -> Counter[str]:
    """Operator counts of a module as counts of elementary operators."""
    found: Counter[str] = Counter()
    for name, count in ops.items():
        _write_out(name.rpartition("::")[2], count, found)
    return found


def _write_out(name: str, count: int, found: Counter[str]) -> None:
    if name in _MOVES:
        return
    parts = _PARTS.get(name, "").split()
    if not parts or parts == [name, "1"]:
        found[name] += count
        return
    for part, times in zip(parts[::2], parts[1::2], strict=True):
        _write_out(part, count * int(times), found)


def computes_the_same(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Whether two modules' operators can be two exporters' ways to write one thing."""
    one, other = arithmetic(before), arithmetic(after)
    differing = {name for name in {*one, *other} if one[name] != other[name]}
    if one["Softmax"] and one["MatMul"] and one["Softmax"] == other["Softmax"]:
        return differing <= _ATTENTION_SLACK
    # An addition of 0 or 1, a power of 2 as a product: nothing that the operators alone could tell apart.
    return not differing


def changed_arithmetic(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Elementary operator → how often before and after, where that differs; values converted for others don't count."""
    one, other = arithmetic(before), arithmetic(after)
    return {op: (one[op], other[op]) for op in sorted({*one, *other} - _CONVERTERS) if one[op] != other[op]}


def same_together(before: Iterable[NodeFacts], after: Iterable[NodeFacts]) -> Callable[[str], bool]:
    """Whether a module computes the same in two graphs, of which a tool made one: modules whose operators it fused with
    each other can only be judged together.
    """
    graphs = [list(before), list(after)]
    joined: dict[str, frozenset[str]] = {}
    for facts in (facts for graph in graphs for facts in graph):
        if facts.evidence is Evidence.FUSED:
            members = {facts.path or "", *facts.origins}
            together = frozenset().union(*(joined.get(path, {path}) for path in members))
            joined.update(dict.fromkeys(together, together))
    one, other = (_operators_by_module(graph) for graph in graphs)

    def same(path: str) -> bool:
        paths = joined.get(path, {path})
        old, new = (sum((ops[each] for each in paths if each in ops), Counter[str]()) for ops in (one, other))
        return computes_the_same(old, new)

    return same


def _operators_by_module(graph: Iterable[NodeFacts]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for facts in graph:
        found.setdefault(facts.path or "", Counter()).update(_operators(facts.node))
    return found


def _operators(node: ir.Node) -> Iterator[str]:
    """What a node computes by its name, and by the inputs and attributes with which ONNX Runtime's fused operators do
    more.
    """
    given = [value is not None and value.name != "" for value in node.inputs]
    activation = node.attributes.get("activation")
    if node.op_type == "FusedConv" and activation is not None and activation.type == ir.AttributeType.STRING:
        yield "Conv"
        yield activation.as_string()
        yield from ["Add"] * given[3:].count(True)
    elif node.op_type == "Gemm" and not any(given[2:]):
        yield "MatMul"
    else:
        yield node.op_type
    if node.op_type == "SkipLayerNormalization":
        yield from ["Add"] * given[4:].count(True)
