"""Fresh weights that look like trained ones in the one respect that matters to a graph: no two are equal.

Default initialisation fills every bias with zeros and every norm with ones, and exporters store equal initializers
once. A LayerNorm would then read another layer's weight, and the picture of who owns what would be false.
"""

from __future__ import annotations

import torch
from torch import nn

_SCALE = 0.02  # the spread of weights that transformers initialises with
_SAMPLES = 64


def make_parameters_distinct(module: nn.Module, seed: int = 0) -> None:
    """Add seeded noise, in place, to parameters that are constant or equal to another, and to running statistics.

    Parameters on the meta device and ones that aren't floating point stay as they are. Takes no memory
    beyond one parameter's size, and does not touch the global random state.
    """
    generator = torch.Generator().manual_seed(seed)
    seen: set[tuple[object, ...]] = set()
    with torch.no_grad():
        for parameter in module.parameters():
            if not _can_be_noisy(parameter):
                continue
            if _is_constant(parameter) or _key(parameter) in seen:
                _add_noise(parameter, generator)
            seen.add(_key(parameter))
        # Their own generator: with weights or without, statistics get the same values.
        generator = torch.Generator().manual_seed(seed)
        for owner in module.modules():
            for name in ("running_mean", "running_var"):
                buffer = owner._buffers.get(name)
                if buffer is not None and _can_be_noisy(buffer) and _is_constant(buffer):
                    _add_noise(buffer, generator)


def sample(tensor: torch.Tensor) -> bytes:
    """The bytes of up to 64 elements spread over a dense tensor; reads nothing else."""
    count = min(tensor.numel(), _SAMPLES)
    if not count:
        return b""
    index = torch.linspace(0, tensor.numel() - 1, count, dtype=torch.float64, device="cpu").long()
    # By coordinates: flattening an expanded tensor would allocate its full size.
    picked = tensor.detach()[torch.unravel_index(index, tensor.shape)] if tensor.dim() else tensor.detach()
    return raw_bytes(picked)


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """The elements of a dense tensor in row-major order, as they are in memory."""
    # A clone: `contiguous` keeps a stride of 0 where there is one element, which no other dtype can view.
    dense = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return bytes(dense.reshape(-1).view(torch.uint8).tolist())


def _key(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.dtype, tensor.shape, sample(tensor)


def _is_constant(tensor: torch.Tensor) -> bool:
    values, size = sample(tensor), tensor.element_size()
    return values == values[:size] * (len(values) // size)


def _can_be_noisy(tensor: torch.Tensor) -> bool:
    writable = tensor.device.type != "meta" and not (tensor.numel() > 1 and 0 in tensor.stride())
    return tensor.is_floating_point() and writable and tensor.layout == torch.strided and tensor.numel() > 0


def _add_noise(tensor: torch.Tensor, generator: torch.Generator) -> None:
    """Noise in [0, 0.02): what must stay positive (variances, scales) stays positive."""
    noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float32, device="cpu") * _SCALE
    tensor.add_(noise.to(tensor))
