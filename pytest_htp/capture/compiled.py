"""``torch.compile`` says how a model is run, nothing about its graph: it is taken out for the time of an export.

Left in, the compiler inlines a compiled module into its caller, and what the tracer records of it is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from pytest_htp.capture.state import replaced


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Let compiled modules run as they were written.

    Both kinds: the wrapper ``torch.compile(module)``, which stays a module of the model that calls its original, and
    a module compiled in place by ``module.compile()``.
    """
    wrappers = [module for module in model.modules() if type(module).__name__ == "OptimizedModule"]
    compiled = [module for module in model.modules() if vars(module).get("_compiled_call_impl") is not None]
    with ExitStack() as stack:
        for wrapper in wrappers:
            stack.enter_context(replaced(wrapper, "forward", _calls_original(wrapper)))
        for module in compiled:
            stack.enter_context(replaced(module, "_compiled_call_impl", None))
        yield


def _calls_original(wrapper: nn.Module) -> Callable[..., object]:
    original: nn.Module = vars(wrapper)["_modules"]["_orig_mod"]

    def forward(*args: object, **kwargs: object) -> object:
        return original(*args, **kwargs)

    return forward
