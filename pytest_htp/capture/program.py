"""Index over a decomposed ``torch.export.ExportedProgram``: which module call made which FX node.

The exported program keeps the module call stack of *every* FX node (``node.meta["nn_module_stack"]``), with the call
index that ONNX metadata drops (its keys end in ``@1``, ``@2``). Bodies of ``torch.cond``, ``while_loop`` and ``scan``
are graphs of their own whose nodes have an empty stack; they run inside the module that called the operator, so their
stack is the caller's, extended by the owner of the parameters they use where that lies inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from pytest_htp.capture.recipes import Recipes
from pytest_htp.format.paths import join_path, lies_in, owner_of

if TYPE_CHECKING:  # files are compared without torch
    from torch import fx, nn
    from torch.export import ExportedProgram

_CALL_SUFFIX = re.compile(r"@(\d+)$")
_FILES = re.compile(r'^ *File "([^"]+)", line \d+, in forward$', re.MULTILINE)
GENERATED = "generated code"


@dataclass(frozen=True, slots=True)
class Frame:
    """One module call on a stack: path as the tracer wrote it, qualified class name, 0-based call index.

    ``class_name`` is empty where only the owner of a parameter is known.
    """

    path: str
    class_name: str
    call: int


@dataclass(frozen=True, slots=True)
class FxOrigin:
    """The FX node an ONNX node was translated from.

    ``frames`` is its module call stack, root first; empty where the program knows none. ``rule`` says how it
    is known: recorded in the ``program``; that of the call a ``body`` runs in, completed; that of both the
    node before and the node after one without a record (``program order``); or completed by the ``generated
    code`` that made the node. ``replayed``: a view that functionalization computed once more for
    whoever reads it, since its base was written to in place; it is recorded as the reader's, whichever module's view
    it is.
    """

    graph: str
    name: str
    target: str
    frames: tuple[Frame, ...]
    rule: str = "program"
    stack_trace: str = ""
    replayed: bool = False


def frames_of(stack: Mapping[str, tuple[str, type | str]] | None) -> tuple[Frame, ...]:
    """Read an ``nn_module_stack``: ``{key: (path, class or its qualified name)}``, outermost first.

    Scopes that are no modules (``_empty_nn_module_stack_from_metadata_hook``) have a class that is no dotted
    name; they end the stack, since nothing below them is known to be a module call.
    """
    frames: list[Frame] = []
    for key, value in (stack or {}).items():
        if not isinstance(value, tuple) or len(value) != 2:
            break
        path, kind = value
        qualified = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        if not isinstance(path, str) or "." not in qualified:
            break
        # The key is a prefix, the path and the call; a module may itself be called "block@1".
        call = _CALL_SUFFIX.search(str(key).rpartition(path)[2] if path else str(key))
        frames.append(Frame(path, qualified, int(call.group(1)) if call else 0))
    return tuple(frames)


def generated_code(model: nn.Module) -> dict[str, str]:
    """The made-up file of each traced module's forward → the module's path; of parts only, not of the model itself."""
    files: dict[str, str] = {}
    for path, module in model.named_modules():
        if path and hasattr(module, "graph") and hasattr(module, "recompile"):  # torch.fx.GraphModule
            code = getattr(type(module).forward, "__code__", None)
            if code is not None:
                files[code.co_filename] = path
    return files


class ProgramIndex:
    """Origins by FX node for one exported program (all its graphs)."""

    def __init__(self, exported_program: ExportedProgram, generated: Mapping[str, str] | None = None) -> None:
        """``generated``: as :func:`generated_code` gives it for the model that was traced."""
        self._generated = generated or {}
        self.lifted: dict[str, str] = {}  # FX placeholder → name of the parameter or buffer it stands for
        signature = exported_program.graph_signature
        for mapping in (
            signature.inputs_to_parameters,
            signature.inputs_to_buffers,
            signature.inputs_to_lifted_tensor_constants,
        ):
            self.lifted.update(mapping)
        self.origins: dict[tuple[str, str], FxOrigin] = {}
        self._by_node: dict[int, FxOrigin] = {}
        self._keep = exported_program  # ids stay valid while the program lives
        self._index(exported_program.graph_module, "", (), {})
        self._complete(exported_program.graph_module.graph)

    def origin_of(self, fx_node: object) -> FxOrigin | None:
        """The origin for an FX node object of this program; None for anything else."""
        return self._by_node.get(id(fx_node))

    def named(self, name: str) -> FxOrigin | None:
        """The origin of the FX node of that name; None where no graph or several have one."""
        return self._by_name.get(name)

    @cached_property
    def recipes(self) -> Recipes:
        """How values of the main graph are computed."""
        return Recipes(self._keep)

    @cached_property
    def _by_name(self) -> dict[str, FxOrigin | None]:
        names: dict[str, FxOrigin | None] = {}
        for (_, name), origin in self.origins.items():
            names[name] = None if name in names else origin
        return names

    @cached_property
    def calls(self) -> tuple[Frame, ...]:
        """Every module call on some stack, in the order of its first FX node."""
        return tuple(dict.fromkeys(frame for origin in self.origins.values() for frame in origin.frames))

    def _index(
        self, graph_module: fx.GraphModule, scope: str, enclosing: tuple[Frame, ...], owners: dict[str, str]
    ) -> None:
        """Index one graph. ``owners``: placeholder name in this graph → parameter name it stands for."""
        owners = {**owners, **(self.lifted if not scope else {})}
        last_of = {_traced(node): node for node in graph_module.graph.nodes}
        for node in graph_module.graph.nodes:
            if node.op not in ("call_function", "get_attr", "placeholder"):
                continue
            frames = frames_of(node.meta.get("nn_module_stack"))
            if scope:
                frames = self._inside(enclosing, frames, node, owners)
            trace = node.meta.get("stack_trace") or ""
            rule = "body" if scope else "program"
            if not scope and (inner := self._made_by(frames, trace)):
                frames, rule = (*frames, *inner), GENERATED
            again = self._by_node.get(id(node))
            if again is not None:  # a body that several calls share: what their stacks have in common
                frames = _common_frames(again.frames, frames)
                scope = again.graph
            origin = FxOrigin(
                graph=scope,
                name=node.name,
                target=str(node.target),
                frames=frames,
                rule=rule,
                stack_trace=trace,
                replayed=_is_replayed(node, last_of[_traced(node)]),
            )
            self.origins[scope, node.name] = origin
            self._by_node[id(node)] = origin
            if node.op == "call_function":
                self._index_bodies(graph_module, scope, node, frames, owners)

    def _made_by(self, frames: tuple[Frame, ...], trace: str) -> tuple[Frame, ...]:
        """The traced modules in whose generated code a node was made, inside the innermost one on its stack.

        The tracer leaves calls of a ``GraphModule`` out of the stack (``_ModuleStackTracer.call_module``).
        """
        if not self._generated or not frames:
            return ()
        found: list[Frame] = []
        inside = frames[-1].path
        for file in _FILES.findall(trace):
            path = self._generated.get(file)
            if path is not None and path != inside and lies_in(path, inside):
                found.append(Frame(path, "", 0))
                inside = path
        return tuple(found)

    def _complete(self, graph: fx.Graph) -> None:
        """Nodes that passes of the exporter put into the main graph have no record; place those whose
        neighbours in the order of execution are of one module call.
        """
        nodes = [node for node in graph.nodes if node.op == "call_function"]
        stacks = [self._by_node[id(node)].frames for node in nodes]
        next_ones = reversed([*_last_before(reversed(stacks))])
        for node, before, after in zip(nodes, _last_before(stacks), next_ones, strict=True):
            origin = self._by_node[id(node)]
            if not origin.frames and before and before == after:
                origin = replace(origin, frames=before, rule="program order")
                self.origins["", node.name] = self._by_node[id(node)] = origin

    def _index_bodies(
        self, graph_module: fx.GraphModule, scope: str, node: fx.Node, frames: tuple[Frame, ...], owners: dict[str, str]
    ) -> None:
        """Index the sub-graphs a higher-order operator calls; operands map to placeholders from the right."""
        bodies = [arg for arg in node.all_input_nodes if arg.op == "get_attr" and arg in node.args]
        if not bodies:
            return
        operands = [operand.name for operand in _nodes_in(node.args) if operand not in bodies]
        for body in bodies:
            submodule = getattr(graph_module, str(body.target), None)
            if submodule is None or not hasattr(submodule, "graph"):
                continue
            placeholders = [n.name for n in submodule.graph.nodes if n.op == "placeholder"]
            inner = {
                placeholder: owners[operand]
                for placeholder, operand in zip(reversed(placeholders), reversed(operands), strict=False)
                if operand in owners
            }
            self._index(submodule, join_path(scope, str(body.target)), frames, inner)

    @staticmethod
    def _inside(
        enclosing: tuple[Frame, ...], frames: tuple[Frame, ...], node: fx.Node, owners: dict[str, str]
    ) -> tuple[Frame, ...]:
        if frames and enclosing and len(frames) > len(enclosing):
            return frames
        paths = {owner_of(owners[arg.name]) for arg in node.all_input_nodes if arg.name in owners}
        if enclosing and len(paths) == 1:
            owner = paths.pop()
            inside = enclosing[-1].path
            if owner != inside and lies_in(owner, inside):
                return (*enclosing, Frame(owner, "", 0))
        return enclosing


def _traced(node: fx.Node) -> tuple[str, int] | None:
    """The node of the program before decomposition that this one was made for; None where that is not recorded."""
    sources = node.meta.get("from_node")
    return (sources[-1].name, sources[-1].graph_id) if sources else None


def _is_replayed(node: fx.Node, last: fx.Node) -> bool:
    """Whether a node stands before the one it was made for, ``last``, but was written on another line of code."""
    trace, other = node.meta.get("stack_trace"), last.meta.get("stack_trace")
    return bool(node is not last and trace and other and trace != other and _traced(node))


def _last_before(stacks: Iterable[tuple[Frame, ...]]) -> Iterator[tuple[Frame, ...]]:
    """For each stack the nearest one before it that is not empty."""
    last: tuple[Frame, ...] = ()
    for frames in stacks:
        yield last
        last = frames or last


def _common_frames(first: tuple[Frame, ...], second: tuple[Frame, ...]) -> tuple[Frame, ...]:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return tuple(frame for frame, _ in pairs)


def _nodes_in(args: object) -> list[fx.Node]:
    """The nodes among the arguments of one, in order."""
    from torch import fx
    from torch.utils import _pytree as pytree

    return [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, fx.Node)]
