"""The monitor's memory: one ``HTPExportData`` that grows by whole data, by some fields, by errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.text import without_ansi
from pytest_htp.vocabulary import HTPExportData, HTPExportStep, ModuleInfo

_FIELDS = {field.name: str(field.type) for field in fields(HTPExportData)}
_CONTAINERS: dict[str, type | tuple[type, ...]] = {"dict": Mapping, "list": (list, tuple), "str": str}


class Ledger:
    """Accumulates what was logged.

    Whole data and single fields replace what was there, except ``steps`` (kept per step, the latest word wins) and
    ``errors`` (kept, each once): what was logged about a step is not lost when the next data doesn't repeat it.

    Attributes:
        data: everything logged so far; always the same object. The caller's objects are read, never changed.
    """

    def __init__(self, model_name: str, output_path: str) -> None:
        self._given_name = model_name
        self.data = HTPExportData(model_name=model_name, output_path=output_path)

    def take(self, step: HTPExportStep, new: HTPExportData | Mapping[str, object] | None) -> None:
        """A step was done; ``new`` is what is known now. Raises HTPUsageError, before changing anything."""
        values = _values(new)
        for name, value in values.items():
            if name == "steps":
                for key, entry in value.items():
                    self.data.steps[str(key)] = {**self.data.steps.get(str(key), {}), **_inert_notes(entry)}
            elif name == "errors":
                for error in value:
                    self._add_error(dict(error))
            elif name == "model_name" and self._given_name:
                continue  # the name that the monitor was given stays
            elif value or not isinstance(new, HTPExportData) or name not in ("model_name", "output_path"):
                setattr(self.data, name, value)
        self.data.steps.setdefault(step.value, {}).setdefault("status", "completed")

    def fail(self, step: HTPExportStep | None, error: BaseException | str) -> dict[str, Any] | None:
        """Record an error. None where it is known already."""
        cause = error
        if isinstance(error, HTPExportError):
            step, cause = step or error.step, error.cause
            if any(step is not None and known.get("step") == step.value for known in self.data.errors):
                return None  # the step's own error, on its way out
        entry = {
            "step": step.value if step else None,
            "type": type(cause).__name__ if isinstance(cause, BaseException) else "error",
            "message": _plain(_words(error)),
        }
        if step is None and any(_same(known, entry, "type", "message") for known in self.data.errors):
            return None  # logged with its step before
        if step is not None:
            self.data.steps.setdefault(step.value, {})["status"] = "failed"
        return entry if self._add_error(entry) else None

    def writer_failed(self, writer: object, during: str, error: Exception) -> dict[str, Any]:
        """Record that a writer raised; this is no failure of the export."""
        entry = {
            "step": None,
            "type": type(error).__name__,
            "message": f"{_words(error)} (while it wrote {during}; the other writers go on)",
            "writer": type(writer).__name__,
        }
        self._add_error(entry)
        return entry

    def _add_error(self, entry: dict[str, Any]) -> bool:
        entry["message"] = _plain(str(entry.get("message", "")))
        if any(_same(known, entry, "step", "type", "message") for known in self.data.errors):
            return False
        self.data.errors.append(entry)
        return True


def _same(one: Mapping[str, object], other: Mapping[str, object], *keys: str) -> bool:
    return all(one.get(key) == other.get(key) for key in keys)


def _values(new: HTPExportData | Mapping[str, Any] | None) -> dict[str, Any]:
    if new is None:
        return {}
    if isinstance(new, HTPExportData):
        values = {name: getattr(new, name) for name in _FIELDS}
    elif isinstance(new, Mapping):
        values = dict(new)
    else:
        raise HTPUsageError(
            f"a step's data must be an HTPExportData, a mapping of some of its fields, or None; "
            f"got {type(new).__name__}"
        )
    for name, value in values.items():
        if name not in _FIELDS:
            raise HTPUsageError(f"HTPExportData has no field {name!r}; known: {', '.join(_FIELDS)}")
        _check(name, value)
    return values


def _check(name: str, value: object) -> None:
    """Refuse values that every writer would stumble over; the large node mappings are not searched."""
    declared = _FIELDS[name]
    expected = _CONTAINERS.get(declared.split("[")[0].split(" ")[0])
    fits = expected is None or isinstance(value, expected) or (value is None and "None" in declared)
    if name == "hierarchy" and isinstance(value, Mapping):
        fits = all(isinstance(info, ModuleInfo) for info in value.values())
    elif name == "steps" and isinstance(value, Mapping):
        fits = all(isinstance(entry, Mapping) for entry in value.values())
    elif name in ("errors", "inputs", "outputs") and isinstance(value, list | tuple):
        fits = all(isinstance(entry, Mapping) for entry in value)
    elif declared.startswith(("int", "float")):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number or (value is None and "None" in declared)
    if not fits:
        raise HTPUsageError(f"field {name!r} of HTPExportData must be {declared}, got {type(value).__name__}")


def _inert_notes(entry: Mapping[str, object]) -> dict[str, object]:
    notes = entry.get("notes")
    if not isinstance(notes, list | tuple):
        return dict(entry)
    return {**entry, "notes": [_plain(str(note)) for note in notes]}


def _words(error: BaseException | str) -> str:
    try:
        return str(error) or repr(error)
    except Exception:
        return f"(a {type(error).__name__} whose message can't be read)"


def _plain(message: str) -> str:
    """Messages end in files that are shared: the user's home folder has no business there, nor have colours."""
    message = without_ansi(message)
    try:
        home = str(Path.home())
    except RuntimeError:
        return message
    return message.replace(home, "~") if len(home) > 1 else message
