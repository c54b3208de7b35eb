"""Run the comparison."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import onnx_ir as ir
import torch

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.capture.marks import all_nodes
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.fold import fold_paths
from pytest_htp.parity.attestation import attest
from pytest_htp.parity.differences import difference, incomparable
from pytest_htp.parity.divergence import Located, first_divergence, locate, locate_passed_on, module_differences
from pytest_htp.parity.evidences import Evidences
from pytest_htp.parity.feeds import match_inputs, match_outputs
from pytest_htp.parity.flow import Flow, Placement
from pytest_htp.parity.observe import Observation, expected_places, watched_values
from pytest_htp.parity.precision import coarser
from pytest_htp.parity.references import References
from pytest_htp.parity.refusals import KernelMissing, RuntimeRefused
from pytest_htp.parity.result import Difference, Divergence, InputSet, ParityRequest, ParityResult
from pytest_htp.parity.shapes import axis_sizes, fits_declared
from pytest_htp.parity.tolerance import tolerance_for

if TYPE_CHECKING:
    from pytest_htp.parity.session import ValueSession

# Operators that draw random numbers (onnx/defs/generator, onnx/defs/nn): no two runs agree, so there is
# nothing to compare.
RANDOM_OPERATORS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def parity_unavailable() -> str | None:
    """Why parity can't be measured here, or None where it can."""
    if find_spec("onnxruntime") is None:
        return "onnxruntime is not installed (pip install 'pytest-htp[parity]')"
    return None


class Onlooker(Protocol):
    """Sees every value of the one run, as it comes.

    ``places`` are the references that values should be by the tags (:func:`expected_places`), ``alike`` those that a
    value agrees with on a sample (of one that is constant, none).
    """

    def begin(
        self, references: References, flow: Flow, placement: Placement, places: Mapping[ir.Value, set[int]]
    ) -> None:
        """Called once, before anything is run."""

    def value(self, value: ir.Value, tensor: torch.Tensor, alike: Collection[int]) -> None:
        """Called with every inner value that ONNX Runtime gives."""

    def outputs(self, got: Mapping[str, torch.Tensor]) -> None:
        """Called with the graph's outputs, by name."""


def measure_parity(request: ParityRequest, onlooker: Onlooker | None = None) -> ParityResult:
    """Run the saved model once in ONNX Runtime and hold its values against what PyTorch recorded.

    Args:
        request: what is compared, and how.
        onlooker: sees the same values; not called where nothing is run.

    Raises:
        RuntimeRefused: ONNX Runtime does not load or run the model.
        HTPUsageError: an unavailable execution provider, or inputs that don't fit the graph.
    """
    if not request.program.graph.outputs:
        return ParityResult.not_measured("the graph has no outputs: the model returned no tensor")
    drawing = _random_operators(request)
    if drawing:
        return ParityResult.not_measured(
            f"the graph draws random numbers: {', '.join(drawing)}. No two runs agree; export in eval mode, "
            "or pass the noise as an input"
        )
    try:
        return _measure(request, onlooker)
    except KernelMissing as error:
        # The graph is valid and another provider may run it (the CPU has few bfloat16 kernels): no verdict on
        # the export.
        return ParityResult.not_measured(str(error.located(request.tagging)))
    except RuntimeRefused as error:
        raise error.located(request.tagging) from error


def _measure(request: ParityRequest, onlooker: Onlooker | None) -> ParityResult:
    examined = examine(request, onlooker)
    hierarchy, references, located = request.hierarchy, examined.references, examined.located
    evidences = examined.evidences(hierarchy)
    return ParityResult(
        measured=True,
        outputs=examined.outputs,
        modules=module_differences(hierarchy, references, located, examined.passed_on),
        input_sets=examined.input_sets,
        first_divergence=first_divergence(hierarchy, references, located, examined.passed_on)
        or _somewhere(hierarchy, examined.outputs),
        attestation=attest(evidences, examined.placement).to_dict(),
        values={index: tuple(value.name or "" for value in found) for index, found in evidences.matching.items()},
    )


@dataclass
class Examination:
    """One run in ONNX Runtime held against PyTorch's: what all verdicts are drawn from."""

    flow: Flow
    references: References
    placement: Placement
    observation: Observation
    located: dict[int, Located]
    passed_on: dict[int, Located]
    outputs: list[Difference]
    input_sets: dict[str, list[Difference]]

    def evidences(self, hierarchy: Hierarchy) -> Evidences:
        """What the values say of each module's tag."""
        return Evidences(hierarchy, self.observation, self.flow, self.located)


def examine(request: ParityRequest, onlooker: Onlooker | None = None) -> Examination:
    """Run the saved model with its inner values and compare them as they come. Raises as :func:`measure_parity`."""
    from pytest_htp.parity.session import BATCH_BYTES, ValueSession

    program = request.program
    feeds = match_inputs(program, request.inputs)
    flow = Flow(program)
    references = References(request.hierarchy, request.rtol, request.atol, request.precision)
    placement = Placement(flow, request.tagging, request.hierarchy)
    anchors = _anchors(program, request.hierarchy.result, references)
    places = expected_places(flow, placement, references, anchors)
    session = ValueSession(
        request.onnx_path,
        watched_values(program, flow, references, feeds),
        request.providers,
        batch_bytes=request.batch_bytes or BATCH_BYTES,
        program=program,
        extensions=request.extensions,
    )
    values = {value.name: value for node in flow.nodes for value in node.outputs}
    moved = frozenset(value for facts in request.tagging.nodes for value in facts.rewired)
    observation = Observation(references, moved=moved)
    got: dict[str, torch.Tensor] = {}
    if onlooker is not None:
        onlooker.begin(references, flow, placement, places)

    def see(value: ir.Value, tensor: torch.Tensor) -> None:
        observation.add(value, tensor, places)
        if onlooker is not None:
            onlooker.value(value, tensor, observation.hits.get(value, ()))

    for value in program.graph.inputs:
        if value.name in feeds:
            see(value, feeds[value.name])
    for name, tensor in session.run(feeds):
        if name in session.outputs:
            got[name] = tensor
        if name in values:
            see(values[name], tensor)
    if onlooker is not None:
        onlooker.outputs(got)
    outputs = _outputs(request.hierarchy.result, got, feeds, request, references.computed_in)
    del got
    input_sets = {
        further.name: _further_outputs(session, further, request, references.computed_in)
        for further in request.extra_inputs
    }
    located = locate(observation, flow, anchors, placement)
    passed_on = locate_passed_on(observation, flow, placement)
    return Examination(flow, references, placement, observation, located, passed_on, outputs, input_sets)


def _somewhere(hierarchy: Hierarchy, outputs: Sequence[Difference]) -> Divergence | None:
    """The root, where an output is off and no module could be found that is."""
    worst = max((found for found in outputs if found.beyond), key=lambda found: found.max_rel, default=None)
    if worst is None or worst.shape_mismatch is not None or not hierarchy.calls:
        return None
    size = (math.inf, math.inf) if worst.nonfinite else (worst.max_abs, worst.max_rel)
    return Divergence(hierarchy.calls[0].path, *size)


def _anchors(program: ir.Model, result: object, references: References) -> dict[ir.Value, int]:
    """Graph output → the reference that it must be, whatever it holds."""
    anchors: dict[ir.Value, int] = {}
    for value, (_, tensor) in zip(program.graph.outputs, match_outputs(program, result), strict=True):
        index = references.index_of(tensor) if tensor is not None else None
        if index is not None and value.producer() is not None:
            anchors[value] = index
    return anchors


def _outputs(
    result: object,
    got: Mapping[str, torch.Tensor],
    feeds: Mapping[str, torch.Tensor],
    request: ParityRequest,
    computed_in: torch.dtype | None,
) -> list[Difference]:
    sizes = axis_sizes(request.program, feeds)
    outputs = []
    matched = match_outputs(request.program, result)
    for value, (name, tensor) in zip(request.program.graph.outputs, matched, strict=True):
        if tensor is None or name not in got:
            lacking = "PyTorch returned" if tensor is None else "onnxruntime gave"
            outputs.append(incomparable(name, f"{lacking} no tensor for it"))
            continue
        tolerance = tolerance_for(coarser(tensor.dtype, computed_in), request.rtol, request.atol, request.precision)
        found = difference(name, tensor, got[name], tolerance)
        shape = tuple(got[name].shape)
        outputs.append(found if fits_declared(value, shape, sizes) else replace(found, undeclared=shape))
    return outputs


def _further_outputs(
    session: ValueSession, further: InputSet, request: ParityRequest, computed_in: torch.dtype | None
) -> list[Difference]:
    """An export that is right only at its example's shapes fails here, also by not running at all."""
    try:
        feeds = match_inputs(request.program, further.inputs)
        got = dict(session.run_outputs(feeds))
    except (RuntimeRefused, HTPUsageError) as error:
        return [incomparable(value.name or "", str(error)) for value in request.program.graph.outputs]
    return _outputs(further.result, got, feeds, request, computed_in)


def random_nodes(program: ir.Model) -> list[ir.Node]:
    """Nodes that draw random numbers, wherever they are."""
    return [node for node in all_nodes(program) if _draws(node)]


def _random_operators(request: ParityRequest) -> list[str]:
    """Operators of the graph that draw random numbers, wherever they are, with the modules they are in; sorted."""
    modules: dict[str, list[str]] = {}
    for node in random_nodes(request.program):
        path = request.tagging.graph.by_node[node].path
        modules.setdefault(node.op_type, []).extend([] if path is None else [path])
    return [
        f"{operator} in {', '.join(pattern or 'the root module' for pattern in fold_paths(paths))}"
        if paths
        else operator
        for operator, paths in sorted(modules.items())
    ]


def _draws(node: ir.Node) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "Dropout":  # its third input, training_mode, defaults to false
        mode = node.inputs[2] if len(node.inputs) > 2 else None
        constant = mode.const_value if mode is not None else None
        return mode is not None and (constant is None or bool(constant.numpy().any()))
    return node.op_type in RANDOM_OPERATORS
