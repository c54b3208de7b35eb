"""``torch.compile`` says how a model is run, nothing about its graph: it is taken out for the time of an export.

Left in, the compiler inlines a compiled module into its caller, and what the tracer records of it is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Let compiled modules run as they were written.

    Both kinds: the wrapper ``torch.compile(module)``, which stays a module of the model that calls its original, and
    a module compiled in place by ``module.compile()``.
    """
    wrappers = [module for module in model.modules() if type(module).__name__ == "OptimizedModule"]
    compiled = [module for module in model.modules() if vars(module).get("_compiled_call_impl") is not None]
    forwards = [vars(wrapper)["forward"] for wrapper in wrappers]
    calls = [module._compiled_call_impl for module in compiled]
    for wrapper in wrappers:
        vars(wrapper)["forward"] = _calls_original(wrapper)
    for module in compiled:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for wrapper, forward in zip(wrappers, forwards, strict=True):
            vars(wrapper)["forward"] = forward
        for module, call in zip(compiled, calls, strict=True):
            module._compiled_call_impl = call


def _calls_original(wrapper: nn.Module) -> Callable[..., Any]:
    original: nn.Module = vars(wrapper)["_modules"]["_orig_mod"]

    def forward(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    return forward
