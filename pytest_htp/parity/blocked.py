"""ONNX Runtime's layout of convolutions in blocks of channels (``ort:all``): what it calls NCHW lies as N C/b H W b.

How it is made: onnxruntime/core/optimizer/nchwc_transformer.cc. The last block is filled up where channels are no
multiple of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper

_DOMAIN = "com.microsoft.nchwc"


class BlockedValues:
    """Values of a graph that lie in blocks, put back into row-major order as they come.

    Blocked is what operators of that layout make, but for ``ReorderOutput``, and what others make of it: only those
    that work element by element or join channels are left as they were. How many channels are real, ``ReorderOutput``
    says.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._channels: dict[str, int | None] = {}  # by name; None: all
        for node in graph.node:
            if node.op_type != "ReorderOutput" and (node.domain == _DOMAIN or self._has(node.input)):
                self._channels.update(dict.fromkeys(node.output))
        for node in reversed(graph.node) if self._channels else ():
            if node.op_type == "ReorderOutput":
                self._fill_up(node.input, next((a.i for a in node.attribute if a.name == "channels"), 0))
            elif count := self._channels.get(node.output[0]):
                # A convolution that fills up has other channels than it reads, but for what it adds to its result; in
                # groups it is a BatchNormalization.
                same = node.op_type != "Conv" or any(a.name == "group" and a.i > 1 for a in node.attribute)
                self._fill_up(node.input if same else node.input[3:], count)

    def _has(self, names: Iterable[str]) -> bool:
        return not self._channels.keys().isdisjoint(names)

    def _fill_up(self, names: Iterable[str], channels: int) -> None:
        if channels % block_size():
            self._channels.update({name: channels for name in names if name in self._channels})

    def plain(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A value in row-major order."""
        if name not in self._channels or tensor.dim() not in (4, 5):
            return tensor
        if tensor.dim() == 4:  # a sum of dynamic shape has five
            batch, _, *size = tensor.shape
            tensor = tensor.reshape(batch, -1, *size, block_size())
        return tensor.permute(0, 1, 4, 2, 3).flatten(1, 2)[:, : self._channels[name]].contiguous()


@cache
def block_size() -> int:
    """Channels of a block on this machine: as many as a vector register holds, which no file says."""
    node = helper.make_node("ReorderInput", ["x"], ["y"], domain=_DOMAIN)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64, 1, 2]) for name in "xy")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(_DOMAIN, 1)]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (blocked,) = session.run(None, {"x": torch.arange(128.0).reshape(1, 64, 1, 2).numpy()})
    return int(blocked.flatten().tolist().index(1.0))  # the second column comes after a block of the first
