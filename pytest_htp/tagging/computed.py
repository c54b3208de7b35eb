"""Constants that were computed from weights or from values: what they hold is no part of the program.

They move with the weights' seed and, in their last bits, with the machine, so no record may hold them.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

COMPUTED = "pytest_htp.computed_from_data"
"""In the ``meta`` of such a constant of a stage's graph (a scale, a zero point, a quantized weight), and of a file's
whose content is missing.
"""

_RULE = "pkg.onnxscript.rewriter.rule_name"  # onnxscript.rewriter.RULE_NAME_TAG, which says who made a node


def computed_from_data(value: ir.Value, readers: Iterable[ir.Node] | None = None) -> bool:
    """Whether a constant is known to be computed: by a stage, or by a rewrite rule from weights (a folded batch norm's
    bias). ``readers`` are the nodes that read it, of one that is not in the graph.
    """
    if value.meta.get(COMPUTED):
        return True
    tensor = value.const_value
    floating = tensor is not None and tensor.dtype.is_floating_point()
    nodes = (use.node for use in value.uses()) if readers is None else readers
    return floating and any(_RULE in node.metadata_props for node in nodes)
