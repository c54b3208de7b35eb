"""One clear message for a failed step: where, what, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_htp.errors import HTPUsageError
from pytest_htp.exporter.causes import LEFT_OVER, cause_of
from pytest_htp.exporter.place import Place
from pytest_htp.exporter.validity import InvalidModel
from pytest_htp.parity.refusals import RuntimeRefused
from pytest_htp.vocabulary import HTPExportStep

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MAX_CAUSE = 600
# Steps in which an exporter, or what an earlier one left behind, may be the cause.
_BY_CAUSE = (HTPExportStep.HIERARCHY, HTPExportStep.TRACE, HTPExportStep.EXPORT)

_REMEDIES = {
    HTPExportStep.MODEL_PREP: "check that the model can be built outside the test",
    HTPExportStep.INPUT_GEN: "pass inputs= explicitly (a mapping, a tuple or a tensor)",
    HTPExportStep.HIERARCHY: "run model(**inputs) on its own: the forward pass itself (or one of your hooks) raises",
    HTPExportStep.TRACE: "torch.export can't trace the model; see https://docs.pytorch.org/docs/stable/export.html",
    HTPExportStep.EXPORT: "the exporter can't translate the traced program: try another opset_version or exporter",
    HTPExportStep.NODE_TAGGING: "this is a fault of pytest-htp: please report it with the model's class",
    HTPExportStep.SAVE: "check that the output path is a writable file name with enough disk space",
    HTPExportStep.COMPLETE: "this is a fault of pytest-htp: please report it with the model's class",
}
_UNKNOWN_TO_RUNTIME = re.compile(r"is not a registered function/op|No Op registered")


def explain(
    step: HTPExportStep,
    model_name: str,
    error: BaseException,
    *,
    inputs: Sequence[Mapping[str, object]] = (),
    place: Place | None = None,
    fake: str | None = None,
) -> str:
    """``export of X failed in step 4/8 (model tracing), in module a.b: cause. Remedy.``, and the line of code.

    Args:
        step: the one that failed.
        model_name: as messages call the model.
        error: what was raised.
        inputs: what the model was called with (name, dtype, shape), said where the model itself raises.
        place: where in the model it happened, None where that is not known.
        fake: an attribute of the model that holds a fake tensor, None where none does.
    """
    first = error if isinstance(error, (InvalidModel, RuntimeRefused)) else root_cause(error)
    text, remedy = summary(first), _REMEDIES[step]
    said = f"{type(first).__name__}: {first}"
    cause = (LEFT_OVER if fake else cause_of(said)) if step in _BY_CAUSE else None
    if isinstance(first, HTPUsageError):
        remedy = ""  # says itself what was expected
    elif isinstance(first, InvalidModel):
        remedy = (
            "no ONNX tool has to accept such a file, so none is left behind: change that module's code, or try "
            "another opset_version or optimize=False"
        )
    elif isinstance(first, RuntimeRefused):
        remedy = (
            "give ort_extensions=[path] the library that registers this operator with ONNX Runtime, or use "
            "parity=False to export without running it"
            if _UNKNOWN_TO_RUNTIME.search(text)
            else "ONNX Runtime refuses what onnx.checker accepts: change that module's code, or try another "
            "opset_version or optimize=False"
        )
    elif isinstance(first, MemoryError) or "can't allocate memory" in str(first):
        remedy = "the machine ran out of memory; use weights='none' to export the structure alone"
    elif isinstance(first, ImportError) and getattr(first, "name", None):
        remedy = f"install the missing package ({first.name})"
    elif cause is not None:
        remedy = cause.remedy
        if fake:
            text += f" (the model's {fake} is a fake tensor)"
        elif operator := cause.subject(said):
            text = f"operator {operator} has no ONNX translation"
    name = model_name or "the model"
    where = f", in module {place.module}" if place is not None and place.module else ""
    message = f"export of {name} failed in step {step.number}/8 ({step.title}){where}: {text}"
    if place is not None and place.line and not isinstance(first, HTPUsageError):
        message += f"\n  {place.line}"
    if remedy and not remedy.startswith("torch."):  # a name keeps its spelling
        remedy = remedy[:1].upper() + remedy[1:]
    if step is HTPExportStep.HIERARCHY and inputs:
        called = ", ".join(f"{given['name']} {given['dtype']} {given['shape']}" for given in inputs)
        message += f"\nIt was called with {called}."
    return f"{message}\n{remedy}." if remedy else message


def root_cause(error: BaseException) -> BaseException:
    """The exception that started it: exporters wrap the real one, with pages of advice, as its cause."""
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        if isinstance(error, HTPUsageError):
            break
        error = error.__cause__
        seen.add(id(error))
    return error


def summary(error: BaseException) -> str:
    """Type and first paragraph of an exception, without colour codes, shortened."""
    text = _ANSI.sub("", str(error)).strip()
    paragraph = text.split("\n\n")[0].strip()
    paragraph = "\n".join(line.rstrip() for line in paragraph.splitlines())
    if len(paragraph) > _MAX_CAUSE:
        paragraph = paragraph[: _MAX_CAUSE - 1] + "…"
    if isinstance(error, HTPUsageError):
        return paragraph
    return f"{type(error).__name__}: {paragraph}" if paragraph else type(error).__name__
