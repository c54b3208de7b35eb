"""Follow every ONNX node through translation, version conversion and optimization.

The graph right after translation is the one place where each node has exactly one origin: the FX node it was
translated from. :class:`ProvenanceObserver` stamps every node there with a mark, and takes care that the
marks travel:

1. *translation*: each node gets the mark of its own origin; a constant that several modules' nodes read there
   gets all of theirs, by value name, since it is no one's operation;
2. *every replacement of a value* (constant folding, common-subexpression elimination, the steps transformers
   adds): see :mod:`pytest_htp.capture.marks`;
3. *rewrite rules*: onnxscript merges the metadata of the nodes a rule matched into the nodes it makes,
   keeping the first value of a key; for our key a merger is registered that joins the marks;
4. *version conversion* through onnx's C++ converter loses all node metadata: marks are put back by value
   name;
5. *regions under another grad mode or autocast* are sub-graphs that decomposition inlines by calling them, and all
   of their nodes get the caller's stack; run node by node, each keeps its own;
6. *initializer deduplication* is written down (which name was merged into which), since it depends on weight
   values.

All of this only observes: no decision of the exporter changes. Where torch or onnxscript no longer has the
place to watch, that part is missing and ``Provenance.unobserved`` says so; tags then rest on what the nodes
themselves say, and where joining nodes was not observed, no node's own word is direct evidence. What goes wrong in
code of our own is something else: it is kept in ``Provenance.faults`` and fails the export once the exporter is done.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

import onnx_ir as ir
from torch import fx

from pytest_htp.capture.marks import (
    ORIGIN_KEY,
    MarkKeeper,
    all_nodes,
    join_marks,
    marks_of,
    surviving,
    without_marks,
)
from pytest_htp.capture.program import FxOrigin, ProgramIndex, generated_code
from pytest_htp.capture.scopes import read_stack
from pytest_htp.capture.state import wrapped

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram

_REGIONS = "torch._higher_order_ops.wrap"
_CORE = "torch.onnx._internal.exporter._core"
_VALUES = "onnx_ir"
_DEDUP = "onnx_ir.passes.common.initializer_deduplication"
_REWRITE = "onnxscript.rewriter._rewrite_rule"
_CONVERT = "onnxscript.version_converter"
# Without these, a node made of several modules' nodes is not known as such.
_JOINS = ("_exported_program_to_onnx_program", "Value.replace_all_uses_with", "_default_metadata_merger")


@dataclass
class Provenance:
    """What was observed of one export.

    Attributes:
        program: index over the decomposed exported program, None when translation could not be observed.
        origins: the origin behind each mark; a node's mark is a comma-separated list of indices into it.
        marks_by_value: output value name right after translation → mark, for nodes that lost theirs.
        merged_initializers: name of an initializer dropped by deduplication → name of the one kept.
        merged_reads: node → place of an input → the initializer it read there before deduplication.
        unquantized: the graph, with its marks, that a quantizer of the exporter's was given; None without one.
        unobserved: places that could not be watched, by dotted name.
        faults: what our own code raised while it watched.
    """

    program: ProgramIndex | None = None
    origins: list[FxOrigin] = field(default_factory=list)
    marks_by_value: dict[str, str] = field(default_factory=dict)
    merged_initializers: dict[str, str] = field(default_factory=dict)
    merged_reads: MutableMapping[ir.Node, dict[int, ir.Value]] = field(default_factory=weakref.WeakKeyDictionary)
    unquantized: ir.Model | None = None
    unobserved: list[str] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    @property
    def sees_joins(self) -> bool:
        """Whether a node made of several modules' nodes would be known as such."""
        return not any(place.endswith(_JOINS) for place in self.unobserved)

    def origins_of(self, node: ir.Node) -> tuple[FxOrigin, ...]:
        """The FX origins of an ONNX node by its mark; empty where it has none."""
        return tuple(self.origins[index] for index in marks_of(node) if index < len(self.origins))


class ProvenanceObserver:
    """Context manager around one export; ``provenance`` holds what it saw.

    Args:
        on_traced: called with the exported program as soon as ``torch.export`` is done, before decomposition;
            the boundary between the tracing and the ONNX export step.
        model: what is exported, for what the program does not tell of traced modules among its parts.
    """

    def __init__(
        self, on_traced: Callable[[ExportedProgram], None] | None = None, model: nn.Module | None = None
    ) -> None:
        self._generated = generated_code(model) if model is not None else {}
        self._marks = MarkKeeper()
        self.provenance = Provenance()
        self._on_traced = on_traced
        self._stack = ExitStack()

    def __enter__(self) -> ProvenanceObserver:
        with ExitStack() as stack:
            for module, attribute, wrap in (
                (_REGIONS, "WrapWithSetGradEnabled.__call__", self._watch_region),
                (_REGIONS, "WrapWithAutocast.__call__", self._watch_region),
                (_CORE, "_prepare_exported_program_for_export", self._watch_traced),
                (_CORE, "_exported_program_to_onnx_program", self._watch_translation),
                (_VALUES, "Value.replace_all_uses_with", self._watch_replacement),
                (_DEDUP, "DeduplicateInitializersPass.call", self._watch_deduplication),
                (_CONVERT, "ConvertVersionPass.call", self._watch_conversion),
            ):
                if not stack.enter_context(wrapped(module, attribute, wrap)):
                    self.provenance.unobserved.append(f"{module}.{attribute}")
            stack.enter_context(self._merging_marks())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @contextmanager
    def _merging_marks(self) -> Iterator[None]:
        try:
            merger = importlib.import_module(_REWRITE)._default_metadata_merger
            mergers, original = merger.mergers, merger.copy_merged_metadata
        except (ImportError, AttributeError):
            self.provenance.unobserved.append(f"{_REWRITE}._default_metadata_merger")
            yield
            return

        def copy_merged_metadata(from_nodes: Sequence[ir.Node], to: Sequence[ir.Node]) -> None:
            bystanders: list[ir.Node] = []
            with self._observing():
                bystanders = surviving(from_nodes)
            with without_marks(bystanders):
                original(from_nodes, to)

        mergers[ORIGIN_KEY] = join_marks
        merger.copy_merged_metadata = copy_merged_metadata
        try:
            yield
        finally:
            mergers.pop(ORIGIN_KEY, None)
            del merger.copy_merged_metadata

    @contextmanager
    def _observing(self) -> Iterator[None]:
        """For our code inside the exporter's: what goes wrong must not look like a failure of the exporter."""
        try:
            yield
        except Exception as error:
            self.provenance.faults.append(error)

    @staticmethod
    def _watch_region(original: Callable[..., object]) -> Callable[..., object]:
        def call(operator: object, *args: object, **kwargs: object) -> object:
            interpreted = (fx.Interpreter(arg).run if isinstance(arg, fx.GraphModule) else arg for arg in args)
            return original(operator, *interpreted, **kwargs)

        return call

    def _watch_traced(self, original: Callable[..., object]) -> Callable[..., object]:
        def prepare(exported_program: ExportedProgram, *args: object, **kwargs: object) -> object:
            if self._on_traced is not None:
                self._on_traced(exported_program)
            return original(exported_program, *args, **kwargs)

        return prepare

    def _watch_translation(self, original: Callable[..., ONNXProgram]) -> Callable[..., ONNXProgram]:
        def translate(exported_program: ExportedProgram, *args: object, **kwargs: object) -> ONNXProgram:
            try:
                onnx_program = original(exported_program, *args, **kwargs)
            except Exception:
                # It says where the node that failed is from.
                self.provenance.program = ProgramIndex(exported_program, self._generated)
                raise
            with self._observing():
                self._stamp(onnx_program.model, exported_program)
            return onnx_program

        return translate

    def _stamp(self, model: ir.Model, exported_program: ExportedProgram) -> None:
        provenance = self.provenance
        provenance.program = ProgramIndex(exported_program, self._generated)
        marks: dict[FxOrigin, str] = {}
        names: dict[str, set[str]] = {}
        for node in all_nodes(model):
            origin = provenance.program.origin_of(node.meta.get("node")) or self._named_origin(node)
            if origin is None:
                if not isinstance(node.graph, ir.Function):  # a function's nodes inherit from its call, inlined
                    node.metadata_props[ORIGIN_KEY] = ""
                continue
            if origin not in marks:
                marks[origin] = str(len(provenance.origins))
                provenance.origins.append(origin)
            node.metadata_props[ORIGIN_KEY] = marks[origin]
            for output in node.outputs:
                if output.name:
                    names.setdefault(output.name, set()).add(marks[origin])
        self._share_computed_once(model, names)
        # Names repeat across graphs until the bodies are inlined; only an unambiguous one can lead back.
        provenance.marks_by_value = {name: min(found) for name, found in names.items() if len(found) == 1}

    def _share_computed_once(self, model: ir.Model, names: dict[str, set[str]]) -> None:
        """What tracer and translator keep once, under the name of the module that came first, is of all its readers.

        That are constants, and arithmetic on sizes (torch keeps one node per symbolic expression) that
        modules beside the first one read. Told by value name, not by mark: a rewrite of one reader must not
        take over the others' origins.
        """
        joined: dict[ir.Node, str] = {}
        for node in reversed(list(all_nodes(model))):
            mark = node.metadata_props.get(ORIGIN_KEY)
            if not mark or not (node.op_type == "Constant" or _is_size(node)):
                continue
            readers = set(node.successors())
            marks = [joined.get(reader, reader.metadata_props.get(ORIGIN_KEY, "")) for reader in readers]
            union = reduce(join_marks, marks, mark)
            if node.op_type != "Constant" and self._inside(int(mark), union):
                continue
            if union != mark:
                joined[node] = union
        for node, union in joined.items():
            node.metadata_props[ORIGIN_KEY] = ""
            for output in node.outputs:
                names[output.name or ""] = {union}

    def _inside(self, mark: int, union: str) -> bool:
        """Whether all these origins are in the module of one: it may have passed a size to its children."""
        own = self.provenance.origins[mark].frames
        others = (self.provenance.origins[int(part)].frames for part in union.split(","))
        return all(frames[: len(own)] == own for frames in others)

    def _named_origin(self, node: ir.Node) -> FxOrigin | None:
        """For nodes without the FX node itself: the one their metadata names."""
        stack = read_stack(node.metadata_props)
        program = self.provenance.program
        return program.named(stack.fx_name) if stack and program else None

    def _watch_replacement(self, original: Callable[..., object]) -> Callable[..., object]:
        def replace_all_uses_with(value: ir.Value, replacement: ir.Value, *args: object, **kwargs: object) -> object:
            with self._observing():
                self._marks.replaced(value, replacement)
            return original(value, replacement, *args, **kwargs)

        return replace_all_uses_with

    def _watch_deduplication(self, original: Callable[..., object]) -> Callable[..., object]:
        def call(dedup_pass: object, model: ir.Model) -> object:
            # After the pass, a reader tells what replaced a value.
            reads: list[tuple[str, ir.Value, weakref.ref[ir.Node], int]] = []
            with self._observing():
                for graph in model.graphs():
                    for name, value in graph.initializers.items():
                        reads.extend((name, value, weakref.ref(use.node), use.idx) for use in value.uses())
            result = original(dedup_pass, model)
            with self._observing():
                remaining = {name for graph in model.graphs() for name in graph.initializers}
                for name, value, reader, index in reads:
                    node = reader()
                    kept = node.inputs[index] if node is not None and name not in remaining else None
                    if node is None or kept is None or not kept.name:
                        continue
                    self.provenance.merged_initializers[name] = kept.name
                    self.provenance.merged_reads.setdefault(node, {}).setdefault(index, value)
                    value.const_value = kept.const_value  # the same bytes, held once
            return result

        return call

    def _watch_conversion(self, original: Callable[..., ir.passes.PassResult]) -> Callable[..., ir.passes.PassResult]:
        def call(convert_pass: object, model: ir.Model) -> ir.passes.PassResult:
            before: dict[str, str] = {}
            with self._observing():
                for node in all_nodes(model):
                    mark = node.metadata_props.get(ORIGIN_KEY)
                    before.update({output.name: mark for output in node.outputs if mark and output.name})
            result = original(convert_pass, model)
            with self._observing():
                for node in all_nodes(result.model):
                    found = next((before[out.name] for out in node.outputs if out.name in before), None)
                    if found is not None:
                        node.metadata_props.setdefault(ORIGIN_KEY, found)
            return result

        return call


def _is_size(node: ir.Node) -> bool:
    """Whether the node was translated from arithmetic on symbolic sizes."""
    fx_node = node.meta.get("node")
    return type(getattr(fx_node, "meta", {}).get("val")).__name__ in ("SymInt", "SymFloat", "SymBool")
