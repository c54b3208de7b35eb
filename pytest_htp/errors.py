"""The errors users meet. Each carries one message that names the thing, what was expected and the remedy."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pytest_htp.text import inert

if TYPE_CHECKING:
    from pytest_htp.vocabulary import HTPExportData, HTPExportStep


class HTPUsageError(ValueError):
    """An option, input or file that can't be used as given; the message says what is known and the remedy."""

    def __str__(self) -> str:
        return inert(super().__str__(), keep="\n")


class HTPExportError(Exception):
    """One of the eight steps failed.

    Attributes:
        step: the step that failed.
        cause: the exception it raised (also ``__cause__``).
        data: what the earlier steps produced, with the error recorded in ``data.errors``.
        console_html: the coloured console log as HTML, where there is one.

    pytest and Python print the message as it is, and names in it come from models: it is inert.
    """

    def __init__(self, message: str, *, step: HTPExportStep, cause: BaseException, data: HTPExportData) -> None:
        for name in filter(None, (data.model_name, data.model_class)):
            message = message.replace(name, inert(name))  # a line break in a name is part of the name
        super().__init__(inert(message, keep="\n"))
        self.step = step
        self.cause = cause
        self.data = data
        self.console_html: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles, as workers need it; a cause that doesn't is replaced by its type and message."""
        return _restored, (str(self), self.step, _picklable(self.cause), self.data, self.console_html)


def suggestion(name: object, known: Iterable[str], form: str = " (did you mean {!r}?)", *, cutoff: float = 0.6) -> str:
    """What a message adds where a name is nearly a known one: ``" (did you mean 'opset_version'?)"``; else nothing."""
    from difflib import get_close_matches  # every run of pytest imports this module

    near = get_close_matches(name, known, n=1, cutoff=cutoff) if isinstance(name, str) else ()
    return form.format(*near) if near else ""


def _restored(
    message: str, step: HTPExportStep, cause: BaseException, data: HTPExportData, console_html: str | None
) -> HTPExportError:
    error = HTPExportError(message, step=step, cause=cause, data=data)
    error.console_html, error.__cause__ = console_html, cause
    return error


def _picklable(cause: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(cause))
    except Exception:  # whatever the objects in it raise
        return RuntimeError(f"{type(cause).__name__}: {cause}")
    return cause
