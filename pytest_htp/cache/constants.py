"""Constants of the exporter's modules that somebody has changed: limits, defaults, switches."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, ModuleType

_EXPORTERS = ("onnxscript", "onnx_ir", "torch.onnx", "torch.export", "transformers.exporters")
_PLAIN = (bool, int, float, str, type(None))


def changed_constants(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Those whose value is not the one that the module's own code gives them."""
    if not module.__name__.startswith(_EXPORTERS):
        return
    now = {name: value for name, value in vars(module).items() if name.isupper() and type(value) in _PLAIN}
    code = None
    if now:
        with suppress(Exception):  # not every loader can tell
            code = module.__spec__.loader.get_code(module.__name__)  # type: ignore[union-attr]
    for name, value in _given(code) if code is not None else ():
        if name in now and (type(now[name]), now[name]) != (type(value), value):
            yield name, now[name]


def _given(code: CodeType) -> Iterator[tuple[str, object]]:
    """Names that the code stores a constant under, and nothing else."""
    stored: dict[str, list[tuple[object] | None]] = {}
    before = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_NAME":
            constant = before is not None and before.opname == "LOAD_CONST"
            stored.setdefault(instruction.argval, []).append((before.argval,) if constant and before else None)
        before = instruction
    yield from ((name, values[0][0]) for name, values in stored.items() if len(values) == 1 and values[0] is not None)
