"""quantization.lost and quantization.gained: a module's operators run in float that ran quantized, or the reverse."""

from __future__ import annotations

from pytest_htp.compare.changes import Change, Row, bare
from pytest_htp.compare.context import Context

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
    "MultiHeadAttention Einsum"
)
_COMPUTES = frozenset(_COMPUTE_NAMES.split())
CODES = ("quantization.lost", "quantization.gained")


def compare_quantization(context: Context) -> None:
    lost: list[str] = []
    gained: list[str] = []
    for path, pair in list(context.open.items()):
        before, after = _degree(pair.change.before), _degree(pair.change.after)
        if before > after and _computes(pair.change.after):
            lost.append(path)
        elif after > before and _computes(pair.change.before):
            gained.append(path)
    for code, paths in (("quantization.lost", lost), ("quantization.gained", gained)):
        for path in paths:
            change = context.open[path].change
            words = change.description
            context.report(
                code, words, module=path, before=_counts(change, change.before), after=_counts(change, change.after)
            )
    context.claim(*lost, *gained)
    if lost or gained:  # conversions at a module's border are its neighbours' affair too
        echoes = [
            path
            for path, pair in context.open.items()
            if pair.change.ops and set(map(bare, pair.change.ops)) <= _CONVERTS
        ]
        context.claim(*echoes)


def _degree(row: Row) -> int:
    """0: float, 1: computes between conversions, 2: with integers."""
    ops = set(map(bare, row["ops"]))
    return 2 if ops & _INTEGER else 1 if ops & _CONVERTS and ops & _COMPUTES else 0


def _computes(row: Row) -> bool:
    return not _COMPUTES.isdisjoint(map(bare, row["ops"]))


def _counts(change: Change, row: Row) -> dict[str, int]:
    return change.counts(row)
