"""Greedy generation twice: by PyTorch, and by the exported components in ONNX Runtime.

Both run transformers' own ``generate``, so that positions, masks and suppressed end tokens are the same. For the
second, the forward of each module that is a component is its file: the encoder or a tower and its projector, the
model itself in its first call (``prefill``) and the further ones (``decode``). A file's outputs take the places of the
tensors that PyTorch returned there, so a cache of any kind is handed on as the model has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
import onnxruntime as ort
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.inputs.signature import by_name
from pytest_htp.capture.state import preserved, seeded
from pytest_htp.errors import HTPUsageError
from pytest_htp.parity.feeds import match_inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Calls of the generating model itself; every other component is one of its submodules.
_PREFILL, _DECODE = "prefill", "decode"


@dataclass(frozen=True)
class Component:
    """One part of a generative model: the module it was exported from, and the file that ships."""

    module: nn.Module
    path: Path
    program: ir.Model


def equal_tokens(
    model: PreTrainedModel,
    arguments: Mapping[str, object],
    components: Mapping[str, Component],
    count: int,
    *,
    seed: int,
) -> int:
    """How many of ``count`` greedy tokens agree before the first difference; the worst sequence of the batch.

    Args:
        model: the model that generates; it comes back as it was given.
        arguments: of ``model.generate``, by name.
        components: name → component, exported with dynamic axes.
        count: new tokens to generate.
        seed: of generated inputs.

    Raises:
        HTPUsageError: a component can't be run on what generate gives it (fixed sizes, another kind of cache).
    """
    forms: dict[str, tuple[list[object], pytree.TreeSpec]] = {}

    def keep_form(name: str, call: Callable[[], object], given: Mapping[str, object]) -> object:
        result = call()
        forms.setdefault(name, pytree.tree_flatten(result))  # at once: a caller may write to the result
        return result

    with _replaced(model, components, keep_form):
        expected = _generate(model, arguments, count, seed)
    sessions = {
        name: ort.InferenceSession(str(component.path), providers=["CPUExecutionProvider"])
        for name, component in components.items()
        if name in forms
    }

    def run(name: str, call: Callable[[], object], given: Mapping[str, object]) -> object:
        feeds = match_inputs(components[name].program, make_inputs(components[name].module, given).named)
        arrays = sessions[name].run(None, {key: tensor.detach().numpy() for key, tensor in feeds.items()})
        return _filled(*forms[name], [torch.from_numpy(array) for array in arrays])

    with _replaced(model, components, run):
        try:
            got = _generate(model, arguments, count, seed)
        except Exception as error:
            raise HTPUsageError(
                f"tokens={count}: the exported {', '.join(components)} can't generate with each other "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); leave tokens out for this model"
            ) from error
    same = (expected == got).int().cumprod(dim=1).sum(dim=1)
    return int(same.min())


def _generate(model: PreTrainedModel, arguments: Mapping[str, object], count: int, seed: int) -> Tensor:
    """Shape (batch, count): the new tokens."""
    with preserved(model), seeded(seed), torch.no_grad():
        model.eval()
        copies = {name: value.clone() if isinstance(value, Tensor) else value for name, value in arguments.items()}
        generated: Tensor = model.generate(**copies, do_sample=False, max_new_tokens=count, min_new_tokens=count)
    return generated[:, -count:]


# Component, the call as the module would do it, its arguments by name → what the call returns.
_Run = Callable[[str, Callable[[], object], Mapping[str, object]], object]


@contextmanager
def _replaced(model: nn.Module, components: Mapping[str, Component], run: _Run) -> Iterator[None]:
    """Each call of a component's module goes through ``run``."""
    calls = 0

    def of_model() -> str:
        nonlocal calls
        calls += 1
        return _PREFILL if calls == 1 else _DECODE

    with ExitStack() as stack:
        stack.enter_context(_forward(model, of_model, components, run))
        for name, component in components.items():
            if name not in (_PREFILL, _DECODE):
                stack.enter_context(_forward(component.module, functools.partial(str, name), components, run))
        yield


@contextmanager
def _forward(
    module: nn.Module, name_of_call: Callable[[], str], components: Mapping[str, Component], run: _Run
) -> Iterator[None]:
    original = module.forward

    @functools.wraps(original)  # generate looks at its parameters
    def forward(*args: object, **kwargs: object) -> object:
        name = name_of_call()
        if name not in components:
            return original(*args, **kwargs)
        return run(name, lambda: original(*args, **kwargs), by_name(module, args, kwargs))

    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _filled(leaves: list[object], form: pytree.TreeSpec, tensors: list[Tensor]) -> object:
    """A result of PyTorch with other tensors, in the order in which an exporter makes them outputs."""
    left = iter(tensors)
    return pytree.tree_unflatten([next(left) if isinstance(leaf, Tensor) else leaf for leaf in leaves], form)
