"""The base class of everything that observes an export."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

from pytest_htp.errors import HTPUsageError
from pytest_htp.vocabulary import HTPExportData, HTPExportStep

_Handler = TypeVar("_Handler", bound=Callable[..., object])
_MARK = "_htp_handled_steps"


def handles(*steps: HTPExportStep) -> Callable[[_Handler], _Handler]:
    """Mark a method ``(self, step, data)`` of a :class:`StepAwareWriter` as a handler of these steps."""
    if not steps or not all(isinstance(step, HTPExportStep) for step in steps):
        known = ", ".join(step.name for step in HTPExportStep)
        raise HTPUsageError(f"@handles takes one or more HTPExportStep members ({known}), got {steps!r}")

    def mark(handler: _Handler) -> _Handler:
        setattr(handler, _MARK, (*getattr(handler, _MARK, ()), *steps))
        return handler

    return mark


class StepAwareWriter:
    """Observes the steps of an export; subclasses handle those they care about.

    Such as::

        class Timings(StepAwareWriter):
            @handles(HTPExportStep.TRACE, HTPExportStep.EXPORT)
            def show(self, step, data):
                print(step.number, data.steps[step.value].get("seconds"))

    Handlers are inherited; a method of the same name in a subclass takes the place of the inherited one,
    marked or not. Where several methods handle one step all of them run, inherited ones first.

    Attributes:
        data: the last data seen (the monitor's own object, which keeps growing), or None before the first
            call.
    """

    _handlers: ClassVar[dict[HTPExportStep, tuple[str, ...]]] = {}

    def __init__(self) -> None:
        self.data: HTPExportData | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        found: dict[HTPExportStep, dict[str, None]] = {}
        for owner in reversed(cls.__mro__):
            for name, member in vars(owner).items():
                for step in getattr(member, _MARK, ()):
                    found.setdefault(step, {})[name] = None
        cls._handlers = {step: tuple(names) for step, names in found.items()}

    def begin(self, step: HTPExportStep, data: HTPExportData) -> None:
        """A step starts now. Called only by those who announce it; does nothing unless overridden."""

    def write(self, step: HTPExportStep, data: HTPExportData) -> None:
        """A step was logged: run its handlers."""
        self.data = data
        for name in self._handlers.get(step, ()):
            getattr(self, name)(step, data)

    def write_error(self, step: HTPExportStep | None, error: dict[str, str], data: HTPExportData) -> None:
        """An error was logged: ``{"step", "type", "message"}``; step None where it belongs to no step."""
        self.data = data

    def finish(self, data: HTPExportData) -> None:
        """The export is over, whole or not; called once before the files are written."""
        self.data = data
