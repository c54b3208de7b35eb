"""quantization.lost and quantization.gained: a module's operators run in float that ran quantized, or the reverse."""

from __future__ import annotations

from typing import NamedTuple

from pytest_htp.compare.changes import bare
from pytest_htp.compare.context import Context
from pytest_htp.format.program import Line, parse_line
from pytest_htp.format.record import ModuleRow

# Operators that compute with quantized numbers, and those that only convert to and from them.
_INTEGER_NAMES = (
    "QLinearMatMul QLinearConv QLinearAdd QLinearMul QGemm QAttention MatMulInteger ConvInteger MatMulNBits "
    "DynamicQuantizeMatMul DynamicQuantizeLSTM MatMulIntegerToFloat QLinearSoftmax QLinearSigmoid "
    "QLinearGlobalAveragePool QLinearConcat QLinearWhere QEmbedLayerNormalization GatherBlockQuantized"
)
_INTEGER = frozenset(_INTEGER_NAMES.split())
_CONVERTS = frozenset(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"))
_COMPUTE_NAMES = (
    "MatMul Gemm Conv ConvTranspose Gather LSTM GRU RNN Attention FusedMatMul FusedGemm FusedConv "
    "MultiHeadAttention Einsum LayerNormalization InstanceNormalization"
)
_COMPUTES = frozenset(_COMPUTE_NAMES.split())
# Around integer arithmetic they rescale, so they count by themselves.
_ELEMENTWISE = frozenset(["Add", "Sub", "Mul", "Div", "Softmax", "Sigmoid"])
# They hand on the numbers they are given.
_PASSES = frozenset(("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"))
# Quantizing takes them in: the zero point is where they cut off.
_ABSORBED = frozenset(("Relu", "Clip"))
_STORED = "parameter"
CODES = ("quantization.lost", "quantization.gained")


def compare_quantization(context: Context) -> None:
    lost: list[str] = []
    gained: list[str] = []
    for path, pair in list(context.open.items()):
        for kinds in (_COMPUTES, _ELEMENTWISE):
            before, after = _computed(pair.change.before, kinds), _computed(pair.change.after, kinds)
            if _less(before, after):
                lost.append(path)
            elif _less(after, before):
                gained.append(path)
            else:
                continue
            break
    for code, paths in (("quantization.lost", lost), ("quantization.gained", gained)):
        for path in paths:
            change = context.open[path].change
            words = change.description
            if not change.ops:
                words += ": between conversions before" if code == CODES[0] else ": between conversions now"
            context.report(
                code, words, module=path, before=change.counts(change.before), after=change.counts(change.after)
            )
    context.claim(*lost, *gained)
    if lost or gained:  # conversions at a module's border are its neighbours' affair too
        echoes = [
            path
            for path, pair in context.open.items()
            if pair.change.ops and set(map(bare, pair.change.ops)) <= _CONVERTS | _ABSORBED
        ]
        context.claim(*echoes)


class _Computed(NamedTuple):
    """How many of a module's operators compute with integers, between conversions (QDQ), and in float."""

    integers: int
    between: int
    floats: int


def _less(before: _Computed, after: _Computed) -> bool:
    """Whether operators that ran quantized run in float, or that ran with integers only between conversions."""
    if after.floats > before.floats:
        return after.integers + after.between < before.integers + before.between
    return after.integers < before.integers and after.between > before.between


def _computed(row: ModuleRow, kinds: frozenset[str]) -> _Computed:
    integers = sum(count for op, count in row.ops.items() if bare(op) in _INTEGER) if kinds is _COMPUTES else 0
    computing = sum(count for op, count in row.ops.items() if bare(op) in kinds)
    if row.program is None:
        between = computing if _CONVERTS & set(map(bare, row.ops)) else 0
    else:
        lines = {line.number: line for line in map(parse_line, row.program) if not line.is_call}
        between = sum(_between(line, lines) for line in lines.values() if bare(line.name) in kinds)
    return _Computed(integers, between, computing - between)


def _between(line: Line, lines: dict[int, Line]) -> bool:
    """Whether an operator computes with what was quantized: a weight that is stored as float says it does not, however
    quantized the values are that it is given.
    """
    if bare(line.name) == "Gather" and any(
        bare(other.name) == "DequantizeLinear" and other.inputs[:1] == (f"%{line.number}",) for other in lines.values()
    ):
        return True  # of a quantized table, rows are taken first
    data = line.inputs[:1] if bare(line.name) == "Gather" else line.inputs[:2]  # then come biases and the like
    makers = [_maker(value, lines) for value in data]
    return _STORED not in makers and "DequantizeLinear" in makers


def _maker(value: str, lines: dict[int, Line]) -> str:
    """The operator that made a value, ``_STORED`` for a constant, ``""`` where its module's program does not say."""
    for _ in lines:
        line = lines.get(int(value[1:])) if value.startswith("%") and value[1:].isdecimal() else None
        if line is None or not line.inputs or bare(line.name) not in _PASSES:
            break
        value = line.inputs[0]
    else:
        return ""
    if line is not None:
        return bare(line.name)
    if value.startswith("parameter "):
        return _STORED
    return bare(value.partition(":")[2].partition("#")[0])
