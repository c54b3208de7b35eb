"""Element types that a file does not say."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

# Of operators outside of ONNX, which onnx can't infer: the input whose element type the first output has, where it is
# not the first one, or further outputs have another; None: no input has it.
_TYPED_BY: dict[str, int | None] = {
    "BeamSearch": 1, "BiasDropout": 0, "BitmaskBiasDropout": 0, "BitmaskDropout": 0, "DequantizeBFP": None,
    "DequantizeLinear": 1, "DequantizeWithOrder": None, "DynamicTimeWarping": None, "EmbedLayerNormalization": 2,
    "GatherBlockQuantized": 2, "GemmFloat8": None, "GemmaRotaryEmbedding": 1, "GridSample": None, "IsAllFinite": None,
    "MatMulInteger16": None, "MatMulIntegerToFloat": 2, "MulInteger": None, "MurmurHash3": None, "NGramRepeatBlock": 1,
    "PackedSparseAttentionIndexer": 6, "QAttention": 2, "QEmbedLayerNormalization": 8, "QGemm": None,
    "QLinearConcat": 1, "QLinearConv": 7, "QLinearWhere": 1, "QuantizeBFP": None, "QuantizeLinear": 2,
    "QuantizeWithOrder": None, "ReduceSumInteger": None, "RemovePadding": 0, "Sampling": 0,
    "SparseAttentionIndexer": 12, "SparseToDenseMatMul": 1, "Unique": 0, "WhisperBeamSearch": 1, "WordConvEmbedding": 1,
}  # fmt: skip


def complete_types(model: ir.Model) -> None:
    """Give every value of the main graph an element type, as far as it follows from operators and inputs.

    An optimizer writes down the types it happens to know, which are other ones in each layer. By onnx's own inference
    first, then by the rule of nearly all operators it does not know: outputs are of their first input's type.
    """
    ShapeInferencePass(check_type=False, strict_mode=False, data_prop=False)(model)
    for node in model.graph:
        if node.domain in ("", "ai.onnx"):
            continue
        index = _TYPED_BY.get(node.op_type, 0)
        source = node.inputs[index] if index is not None and index < len(node.inputs) else None
        for value in node.outputs[:1] if node.op_type in _TYPED_BY else node.outputs:
            if value.dtype is None and source is not None and source.dtype is not None:
                value.dtype = source.dtype
