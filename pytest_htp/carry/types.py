"""Element types that a file does not say."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

# Of operators outside of ONNX, which onnx can't infer: the input whose element type the outputs have, where it is not
# the first.
_TYPED_BY = {"MatMulIntegerToFloat": 2, "DequantizeLinear": 1, "QuantizeLinear": 2}


def complete_types(model: ir.Model) -> None:
    """Give every value of the main graph an element type, as far as it follows from operators and inputs.

    An optimizer writes down the types it happens to know, which are other ones in each layer. By onnx's own inference
    first, then by the rule of all operators it does not know: outputs are of their first input's type.
    """
    ShapeInferencePass(check_type=False, strict_mode=False, data_prop=False)(model)
    for node in model.graph:
        if node.domain in ("", "ai.onnx"):
            continue
        index = _TYPED_BY.get(node.op_type, 0)
        source = node.inputs[index] if index < len(node.inputs) else None
        for value in node.outputs:
            if value.dtype is None and source is not None and source.dtype is not None:
                value.dtype = source.dtype
