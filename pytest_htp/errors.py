"""The errors users meet. Each carries one message that names the thing, what was expected and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_htp.vocabulary import HTPExportData, HTPExportStep


class HTPUsageError(ValueError):
    """An option, input or file that can't be used as given; the message says what is known and the remedy."""


class HTPExportError(Exception):
    """One of the eight steps failed.

    Attributes:
        step: the step that failed.
        cause: the exception it raised (also ``__cause__``).
        data: what the earlier steps produced, with the error recorded in ``data.errors``.
    """

    def __init__(self, message: str, *, step: HTPExportStep, cause: BaseException, data: HTPExportData) -> None:
        super().__init__(message)
        self.step = step
        self.cause = cause
        self.data = data


class ExportTimeout(BaseException):
    """The export took longer than ``htp_timeout``.

    No ``Exception``, because exporters catch those to try again in another way. Users meet it as the cause of
    an :class:`HTPExportError`.
    """
