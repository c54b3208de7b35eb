"""What changed between any two files: ONNX models or baselines, whoever made them.

Records are compared as ever (:func:`pytest_htp.compare.engine.compare_exports`). This module makes two files comparable
first: one's modules get the other's names, what only one kind of file can say is left out, and what two exporters
merely write in other operators is kept apart from what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from pytest_htp.carry import carry
from pytest_htp.carry.carry import STRUCTURAL
from pytest_htp.compare.changes import is_float
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Comparison, Finding, finding_order
from pytest_htp.compare.match import index_rows
from pytest_htp.compare.policy import Policy
from pytest_htp.files.align import new_names
from pytest_htp.files.arithmetic import changed_arithmetic, computes_the_same, same_together
from pytest_htp.files.folded import fold
from pytest_htp.files.load import OnnxFile
from pytest_htp.files.modules import ALONE, IN_WORDS, SCOPES, TAGS, UNKNOWN_CLASS, ReadModules, as_one_module
from pytest_htp.files.side import Here, Known, Side, two_sides
from pytest_htp.files.values import ValueChanges, match_weights
from pytest_htp.format.fold import fold_paths, fold_rows, unfold_rows
from pytest_htp.format.paths import expand_pattern, parent_of
from pytest_htp.format.record import Record
from pytest_htp.text import some

# Findings that say that a module's operators are others.
_OPERATORS = frozenset(
    {"ops.changed", "ops.exploded", "fusion.lost", "fusion.gained", "dtype.internal", "controlflow.added"}
)
_MODULES = frozenset({"module.added", "module.removed", "module.class_changed"})
# Findings that leave what a graph computes the same.
_SAME_GRAPH = frozenset({"exporter.wording", "opset.changed"})
# What two sources of modules can't be held to.
_OF_ONE_SOURCE = frozenset({"coverage.dropped", "direct.dropped", "coverage.improved", "tags.moved", "record.changed"})
# Names that only the exporter gives, and only to some nodes, cover what they cover.
_COVERAGE = frozenset({"coverage.dropped", "direct.dropped", "coverage.improved"})
_FOLDED = "the same once constants are folded and rewritten what onnxscript's optimizer knows: one is less optimized"
# Below this share of nodes that stand for known ones, a file was not made of another.
_MADE_OF = 0.5
# Below this share of equal operators, graphs without a common weight or module have nothing to do with each other.
_ALIKE = 0.5


@dataclass
class FileComparison:
    """Findings, and what a reader must know of how they were found.

    Attributes:
        all_named: each module whose operators differ has a finding; otherwise that of another may explain it.
    """

    comparison: Comparison
    notes: list[str] = field(default_factory=list)
    all_named: bool = False

    @property
    def differing(self) -> set[str]:
        """Modules with other operators, as far as named."""
        said = [finding for finding in self.comparison.findings if finding.code in _OPERATORS | _MODULES]
        return {path for finding in said for path in expand_pattern(finding.module or "")}


def compare_files(old: OnnxFile | Record, new: OnnxFile | Record, policy: Policy) -> FileComparison:
    """Compare two files, each an ONNX model or a baseline."""
    if isinstance(old, Record) and isinstance(new, Record):
        return FileComparison(compare_exports(old, new, policy=policy))
    if isinstance(old, Record) or isinstance(new, Record):
        return _with_baseline(old, new, policy)
    with two_sides(old, new) as (one, other):
        found = _two_models(one, other, policy)
    if found.differing and fold((old, new)):
        folded = _two_models(Here(old), Here(new), policy, folded=True)
        # A module that computes the same in one way of writing only is written otherwise.
        differing = folded.differing & found.differing if found.all_named and folded.all_named else folded.differing
        said, now = found.comparison.findings, folded.comparison.findings
        rest = [finding for finding in now if finding.code not in _OPERATORS | _MODULES]
        if differing < found.differing and all(finding.code in _SAME_GRAPH or finding in said for finding in rest):
            kept = [part for finding in now if finding not in rest for part in _at(finding, differing)]
            message = f"all else is {_FOLDED}" if kept else _FOLDED
            rest.append(_finding("exporter.wording", message, policy))
            return FileComparison(_sorted([*kept, *rest], folded.comparison), folded.notes)
    return found


def _at(finding: Finding, paths: Collection[str]) -> list[Finding]:
    """The finding as far as it is about these modules."""
    said = expand_pattern(finding.module or "")
    about = [path for path in said if path in paths]
    return [finding] if about == said else [Finding(**{**finding, "module": part}) for part in fold_paths(about)]


def _two_models(old: Here, new: Side, policy: Policy, *, folded: bool = False) -> FileComparison:
    notes = [note for side in (old, new) for note in _notes_of(side.known)]
    values = match_weights(old.known.weights, new.known.weights)
    if _unrelated(old.known, new.known, values):
        message = "the two models have no weight and no module in common: nothing to compare"
        return FileComparison(Comparison((_finding("model.unrelated", message, policy),)), notes)
    sources = old.known.source, new.known.source
    optimized = old.known.optimized != new.known.optimized
    foreign = sources[0] != sources[1] or optimized
    lent = ""
    if foreign and (optimized or ALONE in sources):
        new = new.here()
        lent = _lend_modules(old, new)
    if lent:
        notes.append(lent)
        values = match_weights(old.known.weights, new.known.weights)
        sources = old.known.source, new.known.source
    elif foreign:
        notes.append(
            f"modules of {old.known.path} are told by {IN_WORDS[sources[0]]}, of {new.known.path} by "
            f"{IN_WORDS[sources[1]]}"
        )
    known, named = old.known.modules, new.known.modules
    alike = bool(lent) or (not foreign and _mostly_named_alike(known, named))  # equal weights would only mislead
    names = {} if alike else new_names(values.same, known, named)
    if foreign or names or _only_one_tells_classes(known, named):
        new.rename(names, known)
        old.rename({}, new.known.modules)
    if missing := {*old.known.missing, *new.known.missing}:
        old.forget(missing)
        new.forget(missing)
    started = new.start_record()  # which may go on beside the other
    records = [old.record(), started()]
    if foreign or names:
        records = [_without_wording(record) for record in records]
    elif not (old.known.typed and new.known.typed):
        records = [_without_types(record) for record in records]
    comparison = compare_exports(*records, policy=policy)
    findings = list(comparison.findings)
    if foreign or names:
        one, other = records
        same = same_together(old.tagging.nodes, new.here().tagging.nodes) if lent else _same_rows(one, other)
        findings = _what_both_can_tell(findings, one, other, policy, names, same if foreign else None)
    if (foreign or folded) and not _stores_more(old.known, new.known):
        findings = [finding for finding in findings if finding.code != "weights.grown"]
    if sources[0] == sources[1] and sources[0] not in (TAGS, SCOPES):
        findings = [finding for finding in findings if finding.code not in _COVERAGE]
    if sources == (ALONE, ALONE):
        findings = [_placed(finding, old, new) for finding in findings]
    findings += _of_values(values.by_place(names), policy)
    return FileComparison(_sorted(findings, comparison), notes, all_named=foreign)


def _lend_modules(old: Here, new: Here) -> str:
    """Give a file without modules, or one that was optimized, those of the other, if it was made of it. Else those
    without any are compared as one module, and nothing is said of the others.
    """
    bare = new if new.known.source == ALONE or (new.known.optimized and old.known.source != ALONE) else old
    tagged = old if bare is new else new
    why = "names no modules" if bare.known.source == ALONE else "was optimized"
    carried = carry(tagged.tagging, bare.file.model, may_differ=True)
    coverage = carried.coverage
    if coverage.direct + coverage.fused >= _MADE_OF * coverage.total_nodes:
        bare.look(ReadModules(carried, tagged.known.source))
        return f"{bare.file.path} {why}: the modules of {tagged.file.path} are carried onto it"
    if bare.known.source != ALONE:
        return ""
    tagged.look(as_one_module(tagged.file.model))
    return f"{bare.file.path} {why} and was not made of {tagged.file.path}: each is compared as one module"


def _stores_more(old: Known, new: Known) -> bool:
    """Whether it is more than shapes, indices and flags, which exporters and optimizers store in their own ways."""

    def stored(known: Known) -> int:
        return sum(weight.tensor.nbytes for weight in known.weights if weight.tensor.dtype not in STRUCTURAL)

    return stored(new) > stored(old)


def _notes_of(side: Known) -> Iterable[str]:
    if side.note:
        yield f"{side.path}: {side.note}"
    if side.missing:
        count = len(side.missing)
        yield (
            f"{side.path}: the external data of {count} weight{'s' * (count != 1)} is missing "
            f"({', '.join(side.missing[:3])}{', …' if count > 3 else ''}): the graph is compared, their values "
            "are not"
        )


def _unrelated(old: Known, new: Known, values: ValueChanges) -> bool:
    if values.same or values.changed or values.unknown:
        return False
    if old.modules.keys() & new.modules.keys() - {""}:
        return False
    shared = (old.operators & new.operators).total()
    return shared < _ALIKE * max(old.operators.total(), new.operators.total(), 1)


def _only_one_tells_classes(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Whether a module's class is known of one file only: a tool left no node of the module that could say it."""
    pairs = ((old[path], new[path]) for path in old.keys() & new.keys())
    return any((one == UNKNOWN_CLASS) != (other == UNKNOWN_CLASS) for one, other in pairs)


def _mostly_named_alike(old: Iterable[str], new: Iterable[str]) -> bool:
    one, other = set(old) - {""}, set(new) - {""}
    return 2 * len(one & other) >= min(len(one), len(other))


def _without_wording(record: Record) -> Record:
    """Without what depends on how an exporter writes things: wiring, and who is called how often."""
    rows = [replace(row, fingerprint=None, program=None, evidence={}, dtypes={}) for row in record.modules]
    return replace(record, modules=rows, toolchain={})


def _without_types(record: Record) -> Record:
    return replace(record, modules=[replace(row, dtypes={}) for row in record.modules])


def _same_rows(old: Record, new: Record) -> Callable[[str], bool]:
    before, after = (index_rows(record.modules) for record in (old, new))

    def same(path: str) -> bool:
        one, other = before.get(path), after.get(path)
        return computes_the_same(one.ops if one else {}, other.ops if other else {})

    return same


def _what_both_can_tell(
    findings: list[Finding],
    old: Record,
    new: Record,
    policy: Policy,
    names: dict[str, str],
    same: Callable[[str], bool] | None,
) -> list[Finding]:
    """Findings without those that only say that another exporter, or another source of modules, was at work: ``same``
    says whether a module computes the same in both, and is None where only names differ.
    """
    kept: list[Finding] = []
    other_words: set[str] = set()
    for finding in findings:
        paths = [] if finding.module is None else expand_pattern(finding.module)
        if same is None:
            kept.append(finding)
        elif finding.code in _OF_ONE_SOURCE or (finding.code == "weights.dtype" and _same_floats(finding)):
            continue
        elif finding.code in _OPERATORS | _MODULES and any(map(same, paths)):
            other_words.update(filter(same, paths))
            kept += _at(finding, [path for path in paths if not same(path)])
        elif finding.code == "ops.exploded" and finding.module is None:
            continue
        else:
            kept.append(finding)
    if same is not None:
        kept += _unsaid(kept, old, new, policy, same)
    if other_words:
        message = f"written in other operators that compute the same: {_listed(other_words)}"
        kept.append(_finding("exporter.wording", message, policy))
    if names:
        moved = [f"{new} was {old or 'the root'}" for new, old in names.items() if (parent_of(new) or "") not in names]
        message = f"modules with the same weights have other names: {', '.join(moved[:3])}"
        kept.append(_finding("exporter.wording", message + (", …" if len(moved) > 3 else ""), policy))
    return kept


def _same_floats(finding: Finding) -> bool:
    """Whether only constants of other types came or went: sizes and axes, which exporters store in their own ways."""
    kinds = [{kind for kind in types or () if is_float(kind)} for types in (finding.before, finding.after)]
    return kinds[0] == kinds[1]


def _unsaid(
    kept: list[Finding], old: Record, new: Record, policy: Policy, same: Callable[[str], bool]
) -> Iterator[Finding]:
    """Modules that compute something else and that no finding names: another was taken to explain them."""
    before, after = (index_rows(record.modules) for record in (old, new))
    said = {path for f in kept if f.module is not None for path in expand_pattern(f.module)}
    for path in before:
        if path not in after or path in said or same(path):
            continue
        changed = changed_arithmetic(before[path].ops, after[path].ops)
        if changed:
            message = ", ".join(f"{op} {one} -> {other}" for op, (one, other) in changed.items())
            yield Finding(
                "ops.changed", f"{message} (fused operators written out)", module=fold_paths([path])[0],
                before={op: one for op, (one, _) in changed.items()}, verdict=policy.verdict("ops.changed"),
                after={op: other for op, (_, other) in changed.items()},
            )  # fmt: skip


def _listed(paths: Iterable[str]) -> str:
    return some([path or "the root" for path in fold_paths(paths)], 4)


def _of_values(values: ValueChanges, policy: Policy) -> list[Finding]:
    if not values.changed:
        return []
    total = len(values.same) + len(values.changed)
    owners = {new.owner for _, new in values.changed if new.owner is not None}
    largest = values.largest()
    message = f"{len(values.changed)} of {total} weights hold other values"
    message += f", by up to {largest:.2g} of their size" if largest is not None else ""
    message += f", in {_listed(owners)}" if owners else ""
    return [_finding("weights.values", message, policy)]


def _placed(finding: Finding, old: Side, new: Side) -> Finding:
    """In a model without modules: beside which weights the operators differ."""
    if finding.code not in _OPERATORS or finding.module != "":
        return finding
    places = _differing_places(old, new)
    if not places:
        return finding
    return Finding(**{**finding, "message": f"{finding.message}; near {some(places, 3)}"})


def _differing_places(old: Side, new: Side) -> list[str]:
    """Weights that are read in another neighbourhood now: other operators between them and the next weight."""
    before, after = old.surroundings(), new.surroundings()
    return [name for name, around in after.items() if name in before and before[name] != around]


def _with_baseline(old: OnnxFile | Record, new: OnnxFile | Record, policy: Policy) -> FileComparison:
    """A baseline and a model: held to what a file can say of the export that made it."""
    baseline, file = (old, new) if isinstance(old, Record) else (new, old)
    assert isinstance(baseline, Record)
    assert isinstance(file, OnnxFile)
    side = Here(file)
    notes = list(_notes_of(side.known))
    rows = index_rows(baseline.modules)
    classes = {path: row.class_name for path, row in rows.items()}
    side.rename({}, classes)
    record = side.record(named_outputs=all(row.named for row in baseline.outputs))
    weights = replace(
        record.weights, tied=baseline.weights.tied, tied_apart=baseline.weights.tied_apart,
        kept=record.weights.kept and baseline.weights.kept,
    )  # fmt: skip
    record = replace(_without_wording(record), weights=weights, toolchain=baseline.toolchain)
    present = side.known.modules.keys()
    trimmed = replace(_without_wording(baseline), toolchain=baseline.toolchain, stages=[], targets=[])
    there = [row for row in unfold_rows(trimmed.modules) if row.nodes > 0 or row.path in present]
    trimmed = replace(trimmed, modules=fold_rows(there))
    pair = (trimmed, record) if isinstance(old, Record) else (record, trimmed)
    comparison = compare_exports(*pair, policy=policy)
    foreign = side.known.source != TAGS
    findings = [f for f in comparison.findings if f.code not in {"record.changed", "toolchain.changed"}]
    if foreign:
        findings = _what_both_can_tell(findings, *pair, policy, {}, _same_rows(*pair))
        notes.append(f"modules of {file.path} are told by {IN_WORDS[side.known.source]}, not by our tags")
    return FileComparison(_sorted(findings, comparison), notes)


def _finding(code: str, message: str, policy: Policy) -> Finding:
    return Finding(code, message, verdict=policy.verdict(code))


def _sorted(findings: list[Finding], comparison: Comparison) -> Comparison:
    kept = [finding for finding in findings if finding["verdict"] != "ignore"]
    return Comparison(tuple(sorted(kept, key=finding_order)), comparison.toolchain_changed)
