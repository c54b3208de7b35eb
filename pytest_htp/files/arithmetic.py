"""What a module computes, whichever operators it is written in: what two exporters' graphs can be held against.

Exporters write the same module in other operators: ``Gemm`` or ``MatMul`` and ``Add``, ``LayerNormalization`` or nine
small ones, shapes computed or constant. Here fused operators are written out, and what only moves data is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

_NORM = "ReduceMean 2 Add 3 Product 2 Sqrt 1 Division 1"
# Operator → what it is written out as by exporters that don't have it.
_PARTS = {
    "Gemm": "MatMul 1 Add 1",
    "FusedMatMul": "MatMul 1",
    "LayerNormalization": _NORM,
    "SkipLayerNormalization": f"{_NORM} Add 4",
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
    "FusedConv": "Conv 1 Activation 1",
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
