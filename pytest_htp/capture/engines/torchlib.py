"""Read the exporter's function library once per process instead of once per export.

``torch.onnx.export`` builds its registry anew each time: it parses the source and the annotations of some 500
onnxscript functions to learn their signatures, 1.3 s of a small model's 1.8 s (torch 2.13.0, onnxscript 0.7.2).
A function's signature does not change, so the same function object need not be read twice. The registry itself
is still built per export: operators registered in between take part.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_htp.capture.state import wrapped

_SIGNATURES: weakref.WeakKeyDictionary[object, dict[tuple[object, ...], object]] = weakref.WeakKeyDictionary()


@contextmanager
def signatures_read_once() -> Iterator[None]:
    """While it lasts, exports reuse what earlier ones in this process read of the library's functions.

    Where torch or onnxscript no longer has the place to do that, exports are as slow as without it.
    """
    with (
        # A property goes before what an instance holds: outside of exports nothing is remembered.
        wrapped("onnxscript._internal.values", "TracedOnnxFunction.function_ir", _once),
        wrapped("torch.onnx._internal.exporter._schemas", "op_signature_from_function", _remembered),
    ):
        yield


def _once(header: property) -> functools.cached_property[object]:
    once = functools.cached_property(header.__get__)
    once.__set_name__(object, "function_ir")
    return once


def _remembered(original: Callable[..., object]) -> Callable[..., object]:
    def op_signature_from_function(function: object, *args: object, **kwargs: object) -> object:
        try:
            known = _SIGNATURES.setdefault(function, {})
        except TypeError:  # a function that can't be referred to weakly, or hashed
            return original(function, *args, **kwargs)
        key = (args, tuple(sorted(kwargs.items())))
        if key not in known:
            known[key] = original(function, *args, **kwargs)
        return known[key]

    return op_signature_from_function
