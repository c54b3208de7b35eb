"""One call of a model for its shapes only: fake tensors instead of values, so no arithmetic and no memory.

Without weights a real forward pass would be slow (a stride of 0 is copied to full size before every product)
or refused (grouped matrix products check strides). Models take the path they take when they are exported:
``torch.compiler.is_exporting()`` is true. What a fake pass can't do is decide by values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch._export.utils import _compiling_state_context
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils import _pytree as pytree


@contextmanager
def shapes_only(
    module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]
) -> Iterator[tuple[tuple[object, ...], dict[str, object]]]:
    """Inside, calling ``module`` with the yielded arguments runs its ``forward`` and hooks on fake tensors.

    Parameters and buffers are swapped and put back, the very same objects. A forward that looks at values (``if x.sum()
    > 0``) raises ``GuardOnDataDependentSymNode`` (``torch.fx.experimental.symbolic_shapes``).
    """
    # Checks of values (as many image tokens as patches) are put off, as in an export.
    symbols = ShapeEnv(allow_scalar_outputs=True, allow_dynamic_output_shape_ops=True)
    mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=symbols, static_shapes=True)
    parameters = [(m, n, p) for m in module.modules() for n, p in m._parameters.items() if p is not None]
    buffers = [(m, n, b) for m in module.modules() for n, b in m._buffers.items() if b is not None]
    fakes: dict[int, nn.Parameter] = {}
    with mode:
        for _, _, parameter in parameters:
            # Contiguous, unlike what stands in for the weights.
            empty = torch.empty(parameter.shape, dtype=parameter.dtype, device=_device(parameter))
            fakes.setdefault(id(parameter), nn.Parameter(empty, requires_grad=False))
    fake_args, fake_kwargs = pytree.tree_map_only(torch.Tensor, mode.from_tensor, (args, kwargs))
    try:
        for owner, name, parameter in parameters:
            setattr(owner, name, fakes[id(parameter)])
        for owner, name, buffer in buffers:
            owner._buffers[name] = mode.from_tensor(buffer)
        with mode, torch.no_grad(), _compiling_state_context():
            yield fake_args, fake_kwargs
    finally:
        for owner, name, parameter in parameters:
            setattr(owner, name, parameter)
        for owner, name, buffer in buffers:
            owner._buffers[name] = buffer


def _device(parameter: torch.Tensor) -> torch.device:
    return torch.device("cpu") if parameter.device.type == "meta" else parameter.device
