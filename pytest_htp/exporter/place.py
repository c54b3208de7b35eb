"""Where in the user's model an exporter failed: the module that ran, and the line of code."""

from __future__ import annotations

import linecache
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from pytest_htp.capture.program import ProgramIndex
from pytest_htp.format.paths import join_path

_TRANSLATING = re.compile(r"translating node %(\w+)")
_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \w+')
_LIBRARIES = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")})
_OURS = str(Path(__file__).parent.parent)


@dataclass(frozen=True)
class Place:
    """``module`` is a path, None where it is not known; ``line`` is ``file.py:9: code``, empty where not known."""

    module: str | None
    line: str


def place_of(error: BaseException, model: nn.Module, program: ProgramIndex | None) -> Place | None:
    """The innermost place that the error's traceback, or the exporter's word on an FX node, leads to."""
    paths = {id(module): path for path, module in reversed(list(model.named_modules(remove_duplicate=False)))}
    found: Place | None = None
    for one in _chain(error):
        named = _TRANSLATING.search(str(one))
        origin = program.named(named[1]) if named and program is not None else None
        if origin is not None:
            module = origin.frames[-1].path if origin.frames else None
            return Place(module, _user_line(origin.stack_trace))
        found = _from_frames(one, paths) or found
    return found


def left_over_fake(model: nn.Module) -> str | None:
    """The first attribute of a model's modules that holds a fake tensor, which an earlier export left there."""
    for path, module in model.named_modules():
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items():
            if isinstance(value, FakeTensor):
                return join_path(path, name)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _from_frames(error: BaseException, paths: dict[int, str]) -> Place | None:
    module: str | None = None
    line = ""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        module = paths.get(id(frame.f_locals.get("self")), module)
        if module is not None and _is_users_file(frame.f_code.co_filename):
            line = _shown(frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return Place(module, line) if module is not None else None


def _is_users_file(file: str) -> bool:
    return not file.startswith(("<", *_LIBRARIES, _OURS))


def _user_line(stack_trace: str) -> str:
    """The innermost line of the user's in a recorded stack trace."""
    for match in reversed(list(_LINE.finditer(stack_trace))):
        if _is_users_file(match["file"]):
            return _shown(match["file"], int(match["line"]))
    return ""


def _shown(file: str, number: int) -> str:
    path = Path(file)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    code = linecache.getline(file, number).strip()
    return f"{path}:{number}: {code}" if code else f"{path}:{number}"
