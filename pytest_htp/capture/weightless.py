"""Models without weights: parameters of one stored element, expanded to the full shape with stride 0.

``torch.export``, translation, constant folding and optimization take such parameters like any other, and
nothing of the weights' size is ever allocated. Buffers are real: rotary tables, position ids and running
statistics decide what the graph looks like.

While a model is built, its parameters live on the meta device, so initialisation costs nothing and may do
what it likes; afterwards every one of them becomes an expanded element. Meta tensors themselves can't be
exported: the constant folder wants data.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from pytest_htp.capture.kinds import is_transformers_model
from pytest_htp.capture.state import replaced
from pytest_htp.errors import HTPUsageError

T = TypeVar("T")

SMALL = 1024
"""Elements up to which a parameter is stored in full.

Real ones of that size stay themselves: they are what ``onnx_ir``'s deduplication compares by content (its
``size_limit``), and code that asks for contiguous scales or biases would leave a copy of them in the graph.
"""

_LARGE_EMPTY = 2**20
"""Elements from which ``torch.empty`` gives a meta tensor during the build.

Smaller ones are allocated and freed on registration. Larger ones would not be touched either, but a machine
may refuse to promise the memory.
"""

# First bit pattern, step and number of steps: values from 2**-7, ascending and all different.
_BITS = {
    torch.float64: (torch.int64, 0x3F80_0000_0000_0001, 1 << 32, 1 << 22),
    torch.float32: (torch.int32, 0x3C00_0001, 1 << 6, 1 << 20),
    torch.float16: (torch.int16, 0x2001, 1, 7_000),
    torch.bfloat16: (torch.int16, 0x3C01, 1, 1_900),
}


def build_weightless(build: Callable[[], T]) -> T:
    """Run ``build`` so that modules made in it have no weights; other results are returned as they are.

    A module that existed before (``build`` may return one) keeps its weights; see ``weightless``.

    Raises:
        HTPUsageError: the build needs values of parameters, or left a buffer without values.
    """
    with _parameters_on_meta() as made:
        try:
            result = build()
        except (NotImplementedError, RuntimeError) as error:
            if "meta" not in str(error).lower():
                raise
            raise HTPUsageError(
                "the model can't be built without weights, because building it computes with parameter values "
                f"({str(error).splitlines()[0]}); use weights='real', or move that computation into forward"
            ) from error
    if isinstance(result, nn.Module):
        _refuse_meta_buffers(_buffers_on_meta(result))
        _expand(result, [slot for slot in _slots(result) if slot[2] in made])
    return result


@contextmanager
def weightless(module: nn.Module) -> Iterator[nn.Module]:
    """Take the weights out of ``module`` while the body runs; the very same parameters are back afterwards.

    Works on real parameters (nothing is copied), on meta ones, and on a model built by ``build_weightless``;
    export inside it also in that case, since it keeps exporters from copying weights to their full size.
    Buffers on the meta device are made anew for transformers models, from their config.

    Raises:
        HTPUsageError: another kind of module has buffers on the meta device: their values are gone.
    """
    slots = list(_slots(module))
    missing = list(_buffers_on_meta(module))
    values = _values_from_config(module) if missing and hasattr(module, "config") else {}
    _refuse_meta_buffers(slot for slot in missing if slot[3] not in values)
    try:
        for owner, name, _, path in missing:
            owner._buffers[name] = values[path]
        _expand(module, slots)
        with _weights_stay_expanded():
            yield module
    finally:
        for owner, name, parameter, _ in slots:
            setattr(owner, name, parameter)
        for owner, name, buffer, _ in missing:
            owner._buffers[name] = buffer


_Slot = tuple[nn.Module, str, torch.Tensor, str]  # module, attribute, tensor, qualified name


def _slots(module: nn.Module) -> Iterator[_Slot]:
    """Every place a parameter is registered at; a shared one appears once per place."""
    for path, owner in module.named_modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                yield owner, name, parameter, f"{path}.{name}".lstrip(".")


def _buffers_on_meta(module: nn.Module) -> Iterator[_Slot]:
    for path, owner in module.named_modules():
        for name, buffer in owner._buffers.items():
            if buffer is not None and buffer.device.type == "meta":
                yield owner, name, buffer, f"{path}.{name}".lstrip(".")


def _refuse_meta_buffers(slots: Iterable[_Slot]) -> None:
    if names := [path for *_, path in slots]:
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise HTPUsageError(
            f"the values of buffer {names[0]!r}{more} are not known: it is on the meta device, or was computed from "
            "parameters, but buffers must hold their values also without weights; pass a function that makes the "
            "model, or use weights='real'"
        )


def _values_from_config(module: nn.Module) -> dict[str, torch.Tensor]:
    """The buffers of a weightless twin of a transformers model."""
    if not is_transformers_model(module):
        return {}
    config = module.config
    twin: nn.Module = build_weightless(lambda: type(module)(type(config).from_dict(config.to_dict())))
    dtypes = {name: buffer.dtype for name, buffer in module.named_buffers()}
    return {name: buffer.to(dtypes.get(name, buffer.dtype)) for name, buffer in twin.named_buffers()}


def _expand(module: nn.Module, slots: list[_Slot]) -> None:
    """Replace the given parameters; one object stays one, those that share storage share their element."""
    stand_ins = _StandIns()
    stood_for: dict[int, nn.Parameter] = {}
    for owner, name, parameter, path in slots:
        if nn.parameter.is_lazy(parameter):
            raise HTPUsageError(f"parameter {path!r} has no shape yet: call the model once before it is exported")
        if id(parameter) not in stood_for:
            stood_for[id(parameter)] = nn.Parameter(stand_ins.of(parameter), requires_grad=False)
        setattr(owner, name, stood_for[id(parameter)])


class _StandIns:
    """What stands for each parameter: one tensor wherever storage was shared, else another value."""

    def __init__(self) -> None:
        self._elements: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        self._small: dict[tuple[int, torch.dtype, torch.Size], torch.Tensor] = {}
        self._count: Counter[tuple[torch.dtype, torch.Size]] = Counter()

    def of(self, parameter: torch.Tensor) -> torch.Tensor:
        storage, dtype, shape = parameter.untyped_storage()._cdata, parameter.dtype, parameter.shape
        small = parameter.numel() <= SMALL
        if small and parameter.device.type != "meta":
            return parameter.detach()
        if (storage, dtype) not in self._elements:
            self._elements[storage, dtype] = _value(dtype, self._count[dtype, shape])
            self._count[dtype, shape] += 1
        expanded = self._elements[storage, dtype].reshape([1] * parameter.dim()).expand(shape)
        if small:
            return self._small.setdefault((storage, dtype, shape), expanded.contiguous())
        return expanded


def _value(dtype: torch.dtype, index: int) -> torch.Tensor:
    """The ``index``-th value of a dtype, for floating ones not 0 or 1; narrow dtypes run out and repeat."""
    if dtype in _BITS:
        bits, first, step, steps = _BITS[dtype]
        return torch.tensor([first + step * (index % steps)], dtype=bits).view(dtype)
    if dtype.is_complex:
        return torch.tensor([math.ldexp(1 + index / 2**10, -7)], dtype=torch.float64).to(dtype)
    if dtype == torch.bool:
        return torch.tensor([index % 2 == 1])
    if dtype.is_floating_point:  # 8 bits and fewer
        return torch.tensor([0x20 + index % 0x10], dtype=torch.uint8).view(dtype)
    return torch.tensor([1 + index % torch.iinfo(dtype).max], dtype=dtype)


@contextmanager
def _weights_stay_expanded() -> Iterator[None]:
    """Keep constant folding from copying 8 and 16 bit weights.

    torch's exporter hands them to numpy through ``Tensor.view`` as integers, and transformers' exporter replaces
    ``Tensor.view``, while it runs, by one that first copies what is not contiguous: 16 GB for Llama-3-8B.
    """
    from torch.onnx._internal.exporter._core import TorchTensor

    original = TorchTensor.numpy

    def numpy(self: TorchTensor) -> npt.NDArray[np.generic]:
        if "view" not in vars(torch.Tensor):
            return original(self)
        with replaced(torch.Tensor, "view", torch._C.TensorBase.view):
            return original(self)

    with replaced(TorchTensor, "numpy", numpy):
        yield


@contextmanager
def _parameters_on_meta() -> Iterator[WeakTensorKeyDictionary]:
    """Parameters registered in the body live on the meta device, buffers don't. Yields those parameters."""
    register_parameter, register_buffer = nn.Module.register_parameter, nn.Module.register_buffer
    moved = WeakTensorKeyDictionary()  # parameter as given -> the one on meta: registered twice, it stays one
    made = WeakTensorKeyDictionary()

    def on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not nn.parameter.is_lazy(param) and param not in made:
            if param not in moved:
                # Not `.to`: it would ask subclasses (of quantized weights, …) how.
                data = torch.empty_strided(param.shape, param.stride(), dtype=param.dtype, device="meta")
                meta = torch.Tensor._make_subclass(type(param), data, param.requires_grad)
                meta.__dict__.update(vars(param))
                moved[param], made[meta] = meta, True
            param = moved[param]
        register_parameter(self, name, param)

    def real(self: nn.Module, name: str, tensor: torch.Tensor | None, persistent: bool = True) -> None:
        if tensor is not None and getattr(tensor, "_htp_uninitialised", False):
            if tensor._version:
                raise HTPUsageError(
                    f"buffer {name!r} of {type(self).__name__} (shape {list(tensor.shape)}) starts as torch.empty and "
                    "is written before it is registered, which can't be followed without weights; start from "
                    "torch.zeros, or use weights='real'"
                )
            tensor = torch.empty(tensor.shape, dtype=tensor.dtype, device=torch.device("cpu"))
        register_buffer(self, name, tensor, persistent)

    with (
        replaced(nn.Module, "register_parameter", on_meta),
        replaced(nn.Module, "register_buffer", real),
        _LargeEmptyOnMeta(),
        warnings.catch_warnings(),
    ):
        # A factory that loads a state dict: "copying from a non-meta parameter …, which is a no-op".
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")
        yield made


class _LargeEmptyOnMeta(TorchFunctionMode):
    """``torch.empty`` of many elements takes no memory, also where a machine would refuse to promise it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        if func is not torch.empty or kwargs.get("device") is not None or "out" in kwargs:
            return func(*args, **kwargs)
        tensor: torch.Tensor = func(*args, **{**kwargs, "device": "meta", "pin_memory": False})
        if tensor.numel() < _LARGE_EMPTY:
            return func(*args, **kwargs)
        tensor._htp_uninitialised = True  # type: ignore[attr-defined]
        return tensor
