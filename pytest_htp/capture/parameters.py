"""Names, ties and element types of a model's parameters and buffers."""

from __future__ import annotations

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch import nn

from pytest_htp.capture.wrapped import is_wrapper, plain_parts
from pytest_htp.format.paths import last_segment

_INDICES = (torch.int64, torch.bool)
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def shared_parameters(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Every parameter and buffer name → all names of the same tensor, in registration order.

    Two names are one tensor when they are the same object, or views of the same storage with the same offset,
    shape and strides (tied through ``.data``).
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    named = (
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    )
    for name, tensor in named:
        groups.setdefault(_identity(tensor), []).append(name)
    return {name: tuple(names) for names in groups.values() for name in names}


def distinct_parameters(model: nn.Module) -> dict[str, tuple[str, int, int]]:
    """First name of each distinct parameter → (element type name, elements, bytes per element)."""
    seen: set[tuple[object, ...]] = set()
    described = {}
    for name, parameter in model.named_parameters():
        identity = _identity(parameter)
        if identity in seen:
            continue
        seen.add(identity)
        dtype = from_torch_dtype(parameter.dtype).name
        described[name] = (dtype, parameter.numel(), parameter.element_size())
    return described


def tables_of_code(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that code fills and no checkpoint: every name of a non-persistent one, and of indices and masks in
    several dimensions. What they hold is a part of the program; other persistent numbers may as well be a statistic, a
    scale or a zero point, which are data.
    """
    found = {}
    for path, module in model.named_modules(remove_duplicate=False):
        for name, buffer in module._buffers.items():
            if buffer is None or buffer.device.type == "meta" or is_wrapper(buffer):
                continue
            computed = name in module._non_persistent_buffers_set
            indices = is_mask(buffer) or (buffer.dtype in _INDICES and buffer.dim() > 1)
            if buffer.layout == torch.strided and (computed or indices):
                real = torch.view_as_real(buffer.resolve_conj()) if buffer.is_complex() else buffer
                found[f"{path}.{name}" if path else name] = real.detach()
    return found


def is_mask(buffer: torch.Tensor) -> bool:
    """Whether floats depend on how far column and row are apart, and on nothing else: no statistic does. The identity,
    as which covariances begin, is none.
    """
    if buffer.dtype not in _FLOATS or buffer.layout != torch.strided or buffer.dim() < 2 or min(buffer.shape[-2:]) < 3:
        return False
    apart = torch.cat((buffer[..., 0, 1:].flatten(), buffer[..., 1:, 0].flatten()))
    return bool((apart != apart[:1]).any()) and torch.equal(buffer[..., 1:, 1:], buffer[..., :-1, :-1])


def zero_biases(model: nn.Module) -> dict[str, int]:
    """Names of biases that hold zeros alone, which optimization leaves out of a graph → elements."""
    return {
        name: parameter.numel()
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if last_segment(name) == "bias"
        and parameter.device.type != "meta"
        and parameter.layout == torch.strided
        and not is_wrapper(parameter)
        and not torch.count_nonzero(parameter.detach())
    }


def _identity(tensor: torch.Tensor) -> tuple[object, ...]:
    if is_wrapper(tensor):
        return (type(tensor), tuple(tensor.shape), *map(_identity, plain_parts(tensor)))
    if tensor.layout != torch.strided or tensor.device.type == "meta" or tensor.numel() == 0:
        return ("object", id(tensor))
    return (
        tensor.device,
        tensor.untyped_storage().data_ptr(),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
    )
