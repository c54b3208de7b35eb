"""Compiles one graph for one target after another and leads what came of it back to modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from pytest_htp.errors import HTPUsageError
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.builtin import BUILT_IN
from pytest_htp.targets.localise import failing_modules
from pytest_htp.targets.messages import CompileAnswer, CompileRequest
from pytest_htp.targets.order import in_execution_order
from pytest_htp.targets.placement import place
from pytest_htp.targets.process import Compilation, compile_apart
from pytest_htp.targets.result import HTPTarget
from pytest_htp.targets.target import ORT, Target

LOCALISE_SECONDS = 60.0
"""For the search of a module that does not compile: a fifth of the default limit of one compile."""


def compile_targets(path: Path, tagging: Tagging, targets: Sequence[Target], *, timeout: float) -> dict[str, HTPTarget]:
    """Name → what the target's compiler made of the graph.

    Args:
        path: the ``.onnx`` file of the last stage.
        tagging: of that graph.
        targets: in order.
        timeout: seconds that one compile may take, 0 for no limit.

    Raises:
        HTPUsageError: a package that is missing, a library that does not load, an option that is refused.
    """
    return {target.name: compile_for(target, path, tagging, timeout=timeout) for target in targets}


def compile_for(target: Target, path: Path, tagging: Tagging, *, timeout: float) -> HTPTarget:
    """What one target's compiler made of the graph. Arguments and errors as for :func:`compile_targets`."""
    target.require()
    compilation = _compile(target, path, timeout)
    answer = compilation.answer
    if answer.outcome == "refused":
        named = any(name in answer.message for name in target.options)
        at_fault = None if named else _option_at_fault(target, path, timeout)
        raise HTPUsageError(answer.message if at_fault is None else f"{answer.message} (without {at_fault} it can)")
    if answer.outcome == "compiled" and not answer.partitions:
        compilation = _nothing_taken(target, path, tagging, compilation, timeout)
        answer = compilation.answer
    compiled = answer.outcome == "compiled"
    nodes = in_execution_order(answer.nodes, tagging) if compiled else []
    placement = place(nodes, tagging, answer.device)
    result = HTPTarget(
        name=target.name,
        compiled=compiled,
        error=None if compiled else answer.message.replace(str(path.resolve()), path.name),
        partitions=answer.partitions if compiled else None,
        placement=placement.modules,
        fallback=placement.fallback,
        unplaced=placement.unplaced,
        share=placement.share(answer.device) if compiled else None,
        seconds=compilation.seconds,
        device=answer.device or _device(target),
        runs=tuple(
            (device, len(list(run))) for (device, _), run in groupby((node.device, node.piece) for node in nodes)
        ),
        log=compilation.log,
        peak_memory=answer.memory,
        options=dict(target.options),
    )
    if compiled or compilation.timed_out:  # of a hang the parts would hang as well, each as long
        return result
    known = with_shapes(tagging)

    def compiles(part: Path, left: float) -> bool | None:
        made = _compile(target, part, min(timeout or left, left))
        return None if made.timed_out else made.answer.outcome == "compiled"

    return replace(result, failing=failing_modules(known, compiles, LOCALISE_SECONDS))


def with_shapes(tagging: Tagging) -> Tagging:
    """The tagging with types and shapes of all values that can be inferred; a stage's file may lack them."""
    model = tagging.graph.model
    if all(value.shape is not None for facts in tagging.nodes for value in facts.node.outputs):
        return tagging
    from onnx_ir.passes.common import ShapeInferencePass

    ShapeInferencePass()(model)
    return tagging


def _compile(target: Target, path: Path, timeout: float) -> Compilation:
    request = CompileRequest(
        model=str(path.resolve()),
        target=target.name,
        compiler=target.compiler,
        options=dict(target.options),
        provider=target.provider,
        library=target.library,
    )
    return compile_apart(request, timeout)


def _nothing_taken(
    target: Target, path: Path, tagging: Tagging, compilation: Compilation, timeout: float
) -> Compilation:
    """A provider that took no node: a mistake in its options if it takes some without them, else its refusal.

    Raises:
        HTPUsageError: names the option.
    """
    at_fault = _option_at_fault(target, path, timeout)
    if at_fault is not None:
        raise HTPUsageError(
            f"target {target.name!r} answers {at_fault} by running everything on the CPU: "
            f"leave the option out or give it another value"
        )
    device = compilation.answer.device
    message = f"{device} takes no node of this graph: all of it would run on the CPU"
    inputs = [value for value in tagging.graph.model.graph.inputs if value.shape is not None]
    if dynamic := [str(value.name) for value in inputs if not all(isinstance(dim, int) for dim in value.shape or ())]:
        message += f"; most such compilers refuse dynamic axes (of {', '.join(dynamic)}): export with fixed sizes"
    answer = CompileAnswer(outcome="failed", device=device, message=message, memory=compilation.answer.memory)
    return replace(compilation, answer=answer)


def _option_at_fault(target: Target, path: Path, timeout: float) -> str | None:
    """``name='value'`` of the option without which, or with the default of which, the target takes nodes."""
    default = BUILT_IN[target.name].options if target.name in BUILT_IN else {}
    for name, value in target.options.items():
        if value == default.get(name):
            continue
        kept = {key: other for key, other in target.options.items() if key != name}
        if name in default:
            kept[name] = default[name]
        if _compile(replace(target, options=kept), path, timeout).answer.partitions:
            return f"{name}={value!r}"
    return None


def _device(target: Target) -> str:
    if target.compiler == ORT and target.provider:
        return target.provider.removesuffix("ExecutionProvider")
    return str(target.options.get("device", target.name))
