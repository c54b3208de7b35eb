"""The float twin of a quantized model (``reference=``): run on the same inputs, quality is measured against it."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_htp.capture.compiled import uncompiled
from pytest_htp.capture.hierarchy import Hierarchy, watch_forward
from pytest_htp.capture.inputs.prepare import PreparedInputs
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.state import preserved, to_eval_mode
from pytest_htp.errors import HTPUsageError
from pytest_htp.parity.feeds import tensors_of
from pytest_htp.parity.references import References
from pytest_htp.vocabulary import ModuleInfo

_SHOWN = 4


def watch_twin(reference: object, inputs: PreparedInputs, hierarchy: Hierarchy, *, seed: int) -> Hierarchy:
    """Run the twin once, with the model's inputs; it comes back as it was given.

    Args:
        reference: whatever an export takes for a model.
        inputs: the model's.
        hierarchy: of the quantized model, watched.
        seed: of generated weights.

    Raises:
        HTPUsageError: it can't be run on these inputs, gives other outputs, or has other modules.
    """
    module = resolve_model(reference, weights="real", seed=seed).module
    args, kwargs = inputs.copies()
    with preserved(module), uncompiled(module):
        to_eval_mode(module)
        try:
            watched = watch_forward(module, args, kwargs, keep_tensors=True)
        except Exception as error:
            raise HTPUsageError(
                f"reference= can't be run on the model's inputs ({type(error).__name__}: {error}); it must be the "
                "float model that was quantized"
            ) from error
    _check_outputs(watched.result, hierarchy.result)
    _check_modules(watched, hierarchy.modules)
    return watched


def _check_outputs(twin: object, model: object) -> None:
    given, expected = ([list(tensor.shape) for tensor in tensors_of(result)] for result in (twin, model))
    if model is not None and given != expected:
        raise HTPUsageError(
            f"reference= gives outputs of shapes {given}, the model of {expected}; it must be the float model that was "
            "quantized"
        )


def _check_modules(watched: Hierarchy, known: Mapping[str, ModuleInfo]) -> None:
    """Of the twin's modules with parameters, most must be modules of the model: quantizing may fold a norm away."""
    weighted = [path for path in watched.executed if path and watched.modules[path].parameters]
    missing = [path for path in weighted if path not in known]
    if len(missing) * 2 > len(weighted):
        shown = ", ".join(repr(path) for path in missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise HTPUsageError(
            f"reference= has another structure: of its {len(weighted)} modules with parameters the model lacks "
            f"{len(missing)} ({shown}); it must be the float model that was quantized, with the same module names"
        )


def values_in_twin(
    values: Mapping[int, tuple[str, ...]], hierarchy: Hierarchy, twin: Hierarchy
) -> dict[int, tuple[str, ...]]:
    """Which value of the graph each tensor of the twin is: the one that the model's at the same place is.

    Args:
        values: the same by the model's tensors (:attr:`pytest_htp.parity.ParityResult.values`).
        hierarchy: of the model, watched.
        twin: of the twin, watched on the same inputs.
    """
    ours, theirs = References(hierarchy), References(twin)
    calls = {(call.path, call.call): call.order for call in hierarchy.calls}
    found: dict[int, tuple[str, ...]] = {}
    for call in twin.calls:
        order = calls.get((call.path, call.call))
        if order is None:
            continue
        here, there = ours.borders[order], theirs.borders[call.order]
        for one, other in ((here.outputs, there.outputs), (here.inputs, there.inputs)):
            if [reference.group for reference in one.references] != [reference.group for reference in other.references]:
                continue
            for mine, its in zip(one.references, other.references, strict=True):
                if mine.index in values:
                    found.setdefault(its.index, values[mine.index])
    return found
