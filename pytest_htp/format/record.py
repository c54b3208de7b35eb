"""What a record *is*: the typed rows that describe one export, and nothing of how they came about.

Edition 2 (``pytest-htp/baseline/2``). The JSON Schema in ``schemas/`` is generated from these types. A field
without default is always written; one with a default is absent from the JSON where it holds it, so that what
was not asked for or not measured takes no room in a baseline.

Paths are folded patterns (``encoder.layer.{0..11}``, see :mod:`pytest_htp.format.fold`) in a stored record and
may be raw in one being compared.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

SCHEMA: Final = "pytest-htp/baseline/2"
# Counts up when the same graph is described in other words (:mod:`pytest_htp.describe.program`, tables of buffers).
PROGRAM_VERSION: Final = 2

# Far beyond any model (a count of bytes fits in 63 bits); keeps arithmetic on hostile numbers cheap.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Step = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Decade = Annotated[
    str, Meta(pattern=r"^([0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|inf)$", description="rounded up to a power of ten")
]
SQNR_STEP: Final = 3  # dB
# An SQNR of more values moves by chance (``compare.rules.quality``) by no more than a step, with other weights.
FEW_VALUES: Final = 151
Decibel = Annotated[int, Meta(ge=-3000, le=3000, description=f"SQNR in dB, rounded down to a multiple of {SQNR_STEP}")]
Extremes = Annotated[list[float], Meta(min_length=2, max_length=2)]
Values = Annotated[int, Meta(ge=1, le=FEW_VALUES)]
Histogram = dict[str, Count]
PathPattern = Annotated[
    str,
    Meta(
        description="module path or folded pattern: encoder.layer.{0..4,6}.attention stands for six modules; "
        "%, { and } of a name are written %25, %7B, %7D"
    ),
]


class _Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class PathRow(_Row, frozen=True, kw_only=True):
    """Something said of one module, or of all modules that a pattern stands for."""

    path: PathPattern


class ModelRow(_Row, frozen=True, kw_only=True, rename={"class_name": "class"}):
    """The model that was exported.

    Attributes:
        exporter: the engine's name.
        modules, executed: registered modules, and those that ran.
        parameters: elements of all parameters.
    """

    class_name: str
    exporter: str | None = None
    modules: Count | None = None
    executed: Count | None = None
    parameters: Count | None = None


class TensorRow(_Row, frozen=True, kw_only=True):
    """A graph input or output; alike ones of repeated layers share a row (``past_key_values.layers.{0..11}.keys``).

    Attributes:
        dims: constant, symbol (equal symbols are equal sizes) or None: unknown.
        named: False where the exporter made the name up and the record numbers it by place.
        module: of an output: the module whose node makes it, or as many modules as the name stands for.
        value: of an output: which of its module's values it is, as programs say it (``Split.1``).
        every: of a folded row: its tensors take the first free place and then every n-th.
    """

    name: PathPattern
    dtype: str | None
    dims: list[Count | str | None] | None
    named: bool = True
    module: PathPattern | None = None
    value: str | None = None
    every: Step = 1


class StoredTensors(_Row, frozen=True, kw_only=True):
    """How many tensors, their bytes, and how many of each element type."""

    count: Count
    bytes: Count
    dtypes: Histogram


class DuplicateRow(_Row, frozen=True, kw_only=True):
    """Initializers that hold the same bytes; ``names`` are parameters', a copy the exporter made has none."""

    names: list[str]
    bytes: Count
    copies: Count


class TableRow(_Row, frozen=True, kw_only=True):
    """A buffer that the model's code fills (rotary frequencies, relative positions, a mask), and what it holds.

    Attributes:
        holds: element type, shape, and values of few integers, a digest of more, or for floats a summary to a few
            digits, which machines agree on.
    """

    name: PathPattern
    holds: str


class WeightsRow(_Row, frozen=True, kw_only=True):
    """Parameters of the model and initializers of the graph.

    Attributes:
        kept: False where the export was made without weights, and nothing is known of their content.
        tied: names of parameters that share one tensor in the model.
        tied_apart: groups of these that the graph stores more than once all the same.
        duplicates: empty without weights.
        tables: buffers that code fills and the graph reads; what they hold is a part of the program.
    """

    parameters: StoredTensors
    initializers: StoredTensors
    kept: bool
    tied: list[list[str]]
    tied_apart: list[list[str]]
    duplicates: list[DuplicateRow]
    tables: list[TableRow] = field(default_factory=list)


class CoverageRow(_Row, frozen=True, kw_only=True):
    """Nodes by evidence class, and the shares in percent that follow from them."""

    total_nodes: Count
    direct: Count
    fused: Count
    inferred: Count
    none: Count
    coverage: Percent
    direct_coverage: Percent
    root_share: Percent


class UnmatchedRow(_Row, frozen=True, kw_only=True):
    """A module that could not be attested, and why."""

    module: PathPattern
    reason: str = ""


class AttestationRow(_Row, frozen=True, kw_only=True):
    """Tags confirmed by values; ``measured`` False with a reason where nothing was run."""

    measured: bool
    reason: str = ""
    attested: Count = 0
    contradicted: list[PathPattern] = field(default_factory=list)
    unmatched: list[UnmatchedRow] = field(default_factory=list)


class OutputParityRow(_Row, frozen=True, kw_only=True):
    """Largest differences of one output, None where they can't be determined (no values of that kind).

    ``ran_as`` is the shape it had in ONNX Runtime where the graph declares another one.
    """

    name: PathPattern
    max_abs: Decade | None
    max_rel: Decade | None
    ran_as: list[Count] | None = None


class ParityRow(_Row, frozen=True, kw_only=True):
    """PyTorch against ONNX Runtime; ``measured`` False with a reason where nothing was run.

    Attributes:
        failed: outputs beyond tolerance, ``failed_on`` the further input sets on which outputs failed.
        first_divergence: the first module beyond tolerance whose inputs agree, ``divergence`` its relative
            difference.
    """

    measured: bool
    reason: str = ""
    outputs: list[OutputParityRow] = field(default_factory=list)
    first_divergence: PathPattern | None = None
    divergence: Decade | None = None
    failed: list[str] = field(default_factory=list)
    failed_on: list[str] = field(default_factory=list)


class GraphRow(_Row, frozen=True, kw_only=True):
    """Size of a graph: nodes everywhere in it, model-local functions, control-flow bodies."""

    nodes: Count
    functions: Count = 0
    subgraphs: Count = 0


class ModuleRow(PathRow, frozen=True, kw_only=True, rename={"class_name": "class"}):
    """One module, or equal modules of repeated layers.

    Attributes:
        calls: how often it ran; 0 for a module that owns weights and did not run.
        nodes: own nodes, per module, those of its children apart.
        ops: operator (with its domain where it is not ONNX's own) → count.
        dtypes: element type of node outputs → count.
        evidence: evidence class → count.
        weights: element type → bytes of initializers owned.
        fingerprint: hash of operators, attributes, wiring and element types as edition 1 computed it.
        program: the own nodes and calls of children in canonical order, one line each: operator, attributes,
            inputs (see :mod:`pytest_htp.describe.program`). What ``fingerprint`` hashes away is said here, so that
            a change can be described in words.
        flops: floating-point operations of its calls, with the modules that they call (the root's are the
            model's), as ``torch.utils.flop_counter`` counts the watched pass: one multiply-add is two. None where
            sizes depend on a dynamic axis or on values, or are not known.
        attention_flops: those of attention on the CPU, which ``torch.utils.flop_counter`` has no formula for;
            beside ``flops``, not part of it. None where there are none.
        params_bytes: bytes of the parameters it registered itself.
        activation_bytes: bytes of the tensors that its calls returned; None as for ``flops``.
    """

    class_name: str
    calls: Count
    nodes: Count
    ops: Histogram
    dtypes: Histogram
    evidence: Histogram
    weights: Histogram
    fingerprint: str | None
    program: list[str] | None = None
    flops: Count | None = None
    attention_flops: Count | None = None
    params_bytes: Count | None = None
    activation_bytes: Count | None = None


class UntaggedRow(_Row, frozen=True, kw_only=True):
    """Nodes without a module; ``program`` as of a module."""

    nodes: Count
    ops: Histogram
    program: list[str] | None = None


class ModuleQualityRow(PathRow, frozen=True, kw_only=True):
    """SQNR of what a module returned, against PyTorch; None where undefined (``reason``).

    ``entering`` is the worst of what it took: where that fell as well, the loss began before it. ``values`` is of how
    many values a sample the number is, where these are few.
    """

    sqnr: Decibel | None
    entering: Decibel | None = None
    values: Values | None = None
    reason: str = ""


class OutputQualityRow(_Row, frozen=True, kw_only=True):
    """SQNR of a graph output against PyTorch; None where undefined (``reason``).

    ``values`` as of a module; ``extremes`` are PyTorch's smallest and largest value: where they are others, so are the
    weights, or what the model was run on, and each number is of other values.
    """

    name: PathPattern
    sqnr: Decibel | None
    values: Values | None = None
    extremes: Extremes | None = None
    reason: str = ""


class QualityRow(_Row, frozen=True, kw_only=True):
    """How far a graph's values are from PyTorch's; ``measured`` False with a reason where nothing was run."""

    measured: bool
    reason: str = ""
    modules: list[ModuleQualityRow] = field(default_factory=list)
    outputs: list[OutputQualityRow] = field(default_factory=list)


class GraphRecord(_Row, frozen=True, kw_only=True):
    """One ONNX graph described: an export's, or a stage's."""

    opset: dict[str, Count]
    inputs: list[TensorRow]
    outputs: list[TensorRow]
    graph: GraphRow
    weights: WeightsRow
    coverage: CoverageRow
    attestation: AttestationRow
    parity: ParityRow
    modules: list[ModuleRow]
    untagged: UntaggedRow


class StageRecord(GraphRecord, frozen=True, kw_only=True):
    """The graph after one stage."""

    name: str
    quality: QualityRow | None = None


class PlacementRow(PathRow, frozen=True, kw_only=True):
    """Own nodes of a module by the device that runs them, and operators of those that are not on the target."""

    devices: Histogram
    fallback: Histogram = field(default_factory=dict)


class TargetRecord(_Row, frozen=True, kw_only=True):
    """What a target's compiler made of the last stage's graph.

    Attributes:
        options: as given to the compiler.
        device: the target's own among the devices of ``placement``; nodes on any other fell back.
        error: the compiler's own words, None where it compiled.
        failing: of a graph that does not compile, the smallest modules that alone do not; empty if not found.
        partitions: contiguous pieces given to the target; None where it did not compile.
        share: percent of nodes on the target.
        unplaced: nodes that no module could be found for, by device.
    """

    name: str
    options: dict[str, str]
    compiled: bool
    device: str = ""
    error: str | None = None
    failing: list[PathPattern] = field(default_factory=list)
    partitions: Count | None = None
    share: Percent | None = None
    placement: list[PlacementRow] = field(default_factory=list)
    unplaced: Histogram = field(default_factory=dict)


class TokensRow(_Row, frozen=True, kw_only=True):
    """Greedy generation by PyTorch and by the exported components.

    Attributes:
        count: tokens asked for.
        equal: how many agree before the first difference.
    """

    count: Count
    equal: Count


class Record(GraphRecord, frozen=True, kw_only=True):
    """A baseline: the export itself (the fields of :class:`GraphRecord`) and what was made of it.

    Attributes:
        fingerprint_version: of the algorithm behind ``ModuleRow.fingerprint``; others are not comparable.
        program_version: of the words of ``ModuleRow.program`` and ``TableRow.holds``; others are not comparable.
        test: the test that made the export, without its folder (``test_bert[tiny]``); None outside of pytest.
        export: its name among the exports of that test.
        tokens: generated tokens that agree with PyTorch's; None if not asked for.
        quality: of an export that is quantized itself, against the float model; None where none is.
        stages, targets: in the order in which they ran; absent if not asked for.
        unobserved: places of the exporter, by dotted name, that pytest-htp watches and this version of it lacks.
    """

    schema: Literal["pytest-htp/baseline/2"]
    model: ModelRow
    toolchain: dict[str, str]
    fingerprint_version: Count = 1
    program_version: Count = 1
    test: str | None = None
    export: str | None = None
    tokens: TokensRow | None = None
    quality: QualityRow | None = None
    stages: list[StageRecord] = field(default_factory=list)
    targets: list[TargetRecord] = field(default_factory=list)
    unobserved: list[str] = field(default_factory=list)
