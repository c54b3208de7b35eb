"""ONNX Runtime's layout of convolutions in blocks of channels (``ort:all``): what it calls NCHW lies as N C/b H W b."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
import torch

_DOMAIN = "com.microsoft.nchwc"
# As wide as vector registers are: 128 bits on Arm, 256 (AVX2) and 512 (AVX-512). The file does not say which.
_BLOCKS = (4, 8, 16)


def layouts(value: ir.Value, tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """What a value may be in row-major order: itself, or of a blocked one what each block size would make it."""
    producer = value.producer()
    if producer is None or producer.domain != _DOMAIN or producer.op_type == "ReorderOutput":
        yield tensor
        return
    if tensor.dim() != 4:
        return
    batch, channels, *size = tensor.shape
    for block in _BLOCKS:
        if channels % block == 0:
            plain = tensor.reshape(batch, channels // block, *size, block).permute(0, 1, 4, 2, 3)
            yield plain.reshape(tensor.shape)
