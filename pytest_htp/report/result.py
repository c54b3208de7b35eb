"""What one export of one test came to, and the report of all of them: the types behind report.json.

An :class:`ExportResult` is made once, by the process that ran the test, and changed by nobody: reports read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.read import record_of, typed
from pytest_htp.format.record import AttestationRow, Count, CoverageRow, Histogram, Percent, Record, TokensRow
from pytest_htp.format.serialize import dict_of

T = TypeVar("T")
SCHEMA: Final = "pytest-htp/report/1"
REMEDY = "is it as pytest --htp-report wrote it?"

Line = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Verdict = Annotated[str, Meta(pattern="^(breaking|regression|drift|improvement|info|unchanged)$")]
Scalar = str | int | float | bool | None
Environment = dict[str, Scalar | dict[str, Scalar]]
Value = Annotated[object, Meta(description="any JSON value", extra_json_schema={})]
Json = dict[str, Value]
Difference = Annotated[
    float | str | None, Meta(description="PyTorch against ONNX Runtime; null: not finite, text: a baseline's decade")
]


class BaselineState(StrEnum):
    """What became of an export's baseline."""

    OFF = "off"  # the test compares with none
    UNCHANGED = "unchanged"
    CHANGED = "changed"  # it is there and says something else, or the export failed
    CREATED = "created"
    UPDATED = "updated"
    MISSING = "missing"  # there is none yet
    NO_EXPORT = "no export"  # it is there, and its test no longer makes the export
    ERROR = "error"  # it can't be read
    UNWRITTEN = "unwritten"  # it was to be written, and can't be


# What a command settles, whatever the verdict.
_WAITING = (BaselineState.MISSING, BaselineState.ERROR, BaselineState.UNWRITTEN, BaselineState.NO_EXPORT)


class _Row(Struct, frozen=True, kw_only=True):
    pass


class FindingRow(_Row, frozen=True, kw_only=True):
    """A finding with its seven keys; ``stage`` is that of a stage or target, None for the export itself."""

    code: str
    verdict: Verdict
    module: str | None
    message: str
    before: Value
    after: Value
    stage: str | None = None


class StepRow(_Row, frozen=True, kw_only=True, omit_defaults=True):
    """One of the eight steps."""

    status: Literal["completed", "failed", "skipped"]
    seconds: Seconds | None = None
    notes: list[str] = field(default_factory=list)


class Commands(_Row, frozen=True, kw_only=True):
    """Command lines as typed where the run was started; ``accept`` is empty where nothing is there to accept."""

    reproduce: str = ""
    accept: str = ""


class StepError(_Row, frozen=True, kw_only=True):
    """Why an export stopped: the step, the error's type and its message."""

    step: str | None
    type: str | None
    message: str | None


class Section(_Row, frozen=True, kw_only=True):
    """What another plugin says of the export."""

    title: str
    text: str


class StageResult(_Row, frozen=True, kw_only=True):
    """What a stage came to.

    Attributes:
        coverage: of the stage's graph; None where it left none (``error`` says why).
        quality, output_quality: SQNR in dB by module path and by output.
        artifacts: folder of its files, relative to the report.
    """

    name: str
    seconds: Seconds | None = None
    error: str | None = None
    nodes: Count | None = None
    coverage: CoverageRow | None = None
    parity: Json | None = None
    quality: dict[str, float | None] | None = None
    output_quality: dict[str, float | None] | None = None
    artifacts: str | None = None


class TargetResult(_Row, frozen=True, kw_only=True):
    """What a target's compiler made of the last stage's graph; ``placement`` is module path → device → nodes.

    ``runs`` are devices and how many nodes in a row each runs, in execution order.
    """

    name: str
    compiled: bool
    seconds: Seconds | None = None
    error: str | None = None
    partitions: Count | None = None
    share: Percent | None = None
    placement: dict[str, Histogram] = field(default_factory=dict)
    runs: list[tuple[str, Count]] = field(default_factory=list)


class ExportResult(_Row, frozen=True, kw_only=True, dict=True):
    """One export of one test.

    Attributes:
        nodeid: of the test.
        name: the test's name, with the export's in brackets where it has one.
        file, line: where the test stands, relative to pytest's root.
        outcome: pytest's, of the test; an export that was fine in a test that failed has its outcome.
        fail_on: the mildest verdict that failed the test.
        coverage_before: the baseline's.
        parity, attestation: as measured (see the metadata), not rounded.
        steps: step → how it went.
        seconds: of the export; ``cached``: it was taken from the cache, which took no export.
        cache_note: what the cache says: hit, or miss and why; empty without a cache.
        nodes, bytes: of the graph and its initializers.
        baseline: path of the baseline, relative to pytest's root.
        model_class: of an export that stopped before there was a record.
        record, before: today's record and the baseline's, in today's edition.
        stages, targets: in the order in which they ran.
        tokens: greedy tokens that agree with PyTorch's.
        artifacts: folder of the export's files, relative to the report.
        shared_with: the test whose export this one shares.
        sections: what other plugins say.
        error: why it stopped.
    """

    nodeid: str
    name: str
    file: str | None = None
    line: Line | None = None
    outcome: str = "passed"
    verdict: Verdict = "unchanged"
    fail_on: str | None = None
    findings: list[FindingRow] = field(default_factory=list)
    coverage: CoverageRow | None = None
    coverage_before: CoverageRow | None = None
    parity: Json | None = None
    attestation: Json | None = None
    steps: dict[str, StepRow] = field(default_factory=dict)
    seconds: Seconds | None = None
    cached: bool = False
    cache_note: str = ""
    nodes: Count | None = None
    bytes: Count | None = None
    baseline: str | None = None
    baseline_status: BaselineState = BaselineState.OFF
    model_class: str | None = None
    record: Json | None = None
    before: Json | None = None
    stages: list[StageResult] = field(default_factory=list)
    targets: list[TargetResult] = field(default_factory=list)
    tokens: TokensRow | None = None
    artifacts: str | None = None
    shared_with: str | None = None
    console: str = ""
    console_html: str | None = None
    sections: list[Section] = field(default_factory=list)
    commands: Commands = Commands()
    error: StepError | None = None

    @cached_property
    def current(self) -> Record | None:
        """``record``, typed."""
        return None if not self.record else record_of(self.record)

    @cached_property
    def stored(self) -> Record | None:
        """``before``, typed."""
        return None if not self.before else record_of(self.before)

    @cached_property
    def compared(self) -> MeasuredParity | None:
        """``parity``, typed."""
        return _typed_part(self.parity, MeasuredParity, "parity")

    @cached_property
    def attested(self) -> AttestationRow | None:
        """``attestation``, typed."""
        return _typed_part(self.attestation, AttestationRow, "attestation")

    def accept_command(self) -> str:
        """The command that settles what the baseline says; empty where there is nothing (left) to accept."""
        state = self.baseline_status
        waiting = state in _WAITING or (state is BaselineState.CHANGED and self.verdict != "unchanged")
        return self.commands.accept if waiting and self.error is None else ""


class Incomplete(_Row, frozen=True, kw_only=True):
    """A test whose exports the report lacks, or has only in part; an empty nodeid stands for the whole run."""

    nodeid: str
    outcome: Literal["lost", "failed"]
    message: str
    file: str | None = None
    line: Line | None = None


class Shard(_Row, frozen=True, kw_only=True):
    """A part of the tests: ``number`` from 1 to ``of``."""

    number: Annotated[int, Meta(ge=1, le=1_000_000)]
    of: Annotated[int, Meta(ge=1, le=1_000_000)]


class Totals(_Row, frozen=True, kw_only=True):
    """Counts over all exports; ``verdict`` is the worst."""

    exports: Count
    tests: Count
    nodes: Count
    verdict: Verdict
    verdicts: dict[Verdict, Count]
    outcomes: Histogram


class Report(_Row, frozen=True, kw_only=True):
    """The content of report.json; ``exports`` sorted by nodeid, then name.

    Attributes:
        environment: versions of the toolchain, Python and platform; of merged shards that differ, all of them.
        notes: sentences about the run itself: a lost worker, a duplicate that a merge dropped.
        shard: which part of the tests the run was, where a plugin split them.
    """

    schema: Literal["pytest-htp/report/1"]
    environment: Environment
    totals: Totals
    notes: list[str]
    incomplete: list[Incomplete] = field(default_factory=list)
    shard: Shard | None = None
    exports: list[ExportResult]


class OutputDifference(_Row, frozen=True, kw_only=True):
    """One graph output; ``beyond`` is the share (0 to 1) of its elements that are beyond tolerance."""

    name: str
    max_abs: Difference = None
    max_rel: Difference = None
    beyond: float | None = None
    shape_mismatch: str | None = None
    undeclared: list[int] | None = None

    @property
    def failed(self) -> bool:
        """Whether values or shapes are beyond what is tolerated."""
        return bool(self.beyond or self.shape_mismatch or self.undeclared)


class Entering(_Row, frozen=True, kw_only=True):
    """The module where an error enters."""

    module: str
    max_abs: Difference = None
    max_rel: Difference = None


class MeasuredParity(_Row, frozen=True, kw_only=True):
    """As far as reports read it; what else was measured is passed on."""

    measured: bool
    reason: str | None = None
    outputs: list[OutputDifference] = field(default_factory=list)
    input_sets: dict[str, list[OutputDifference]] = field(default_factory=dict)
    first_divergence: Entering | str | None = None
    failed: list[str] = field(default_factory=list)


def report_of(values: object) -> Report:
    """The report that JSON values describe.

    Raises:
        HTPUsageError: they describe none; names the place.
    """
    report = typed(values, Report, remedy=REMEDY, whole="the report")
    exports = []
    for place, result in enumerate(report.exports):
        with _named(f"exports[{place}]."):
            result.compared, result.attested  # noqa: B018 - looked through, and passed on as they are
            with _named("record: "):
                record = None if result.record is None else dict_of(record_of(result.record))
            with _named("before: "):
                before = None if result.before is None else dict_of(record_of(result.before))
            exports.append(replace(result, record=record, before=before))
    return replace(report, exports=exports)


def _typed_part(part: Json | None, kind: type[T], name: str) -> T | None:
    found = None
    with _named(f"{name}."):
        if part:  # empty where nothing was asked for
            found = typed(part, kind, remedy=REMEDY, whole="it")
    return found


@contextmanager
def _named(place: str) -> Iterator[None]:
    """What is wrong with a part is said with its place."""
    try:
        yield
    except HTPUsageError as error:
        raise HTPUsageError(f"{place}{error}") from None
