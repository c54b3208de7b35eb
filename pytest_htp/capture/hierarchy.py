"""Watch one forward pass: which modules run, in which order, called by whom, with which tensors.

One pass serves everything that needs PyTorch's side of the story: the module tree, the true step count, and
the tensors that parity and attestation hold against ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, is_dataclass

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils import _pytree as pytree

from pytest_htp.capture.cost import Flops, tensor_bytes
from pytest_htp.capture.kept import Kept, TensorRecord, writes_to
from pytest_htp.capture.state import eager
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.paths import ancestors, join_path, last_segment
from pytest_htp.tag import HierarchyTag
from pytest_htp.vocabulary import Cost, ModuleInfo

NamingRule = Callable[[nn.Module, str], "str | None"]


@dataclass(slots=True)
class ModuleCall:
    """One call of one module. ``order`` counts entries, ``completed`` counts exits, both from 0.

    ``call`` is the 0-based index among the calls of this module; ``parent`` the ``order`` of the enclosing
    call (None for the root's). ``completed`` is None where the call raised. Shapes are kept where tensors are
    not. ``cost`` is what the call took, calls inside it included; None where it can't be determined.
    """

    path: str
    class_name: str
    order: int
    call: int
    parent: int | None
    completed: int | None = None
    inputs: list[TensorRecord] = field(default_factory=list)
    outputs: list[TensorRecord] = field(default_factory=list)
    input_shapes: list[list[int]] = field(default_factory=list)
    output_shapes: list[list[int]] = field(default_factory=list)
    cost: Cost | None = None


@dataclass
class Hierarchy:
    """The module tree with what one forward pass showed of it.

    ``modules`` has every registered path (a shared instance under each of its paths), root ``""`` first.
    ``execution_steps`` counts enter and exit events. ``result`` is what the root returned. ``aliases`` are
    the paths of each module that is registered under several. ``unwatched`` says why nothing was seen, where the
    watched pass failed: the modules are then known, and who called them is known from the exporter alone.
    """

    modules: dict[str, ModuleInfo]
    calls: list[ModuleCall] = field(default_factory=list)
    execution_steps: int = 0
    result: object = None
    aliases: tuple[tuple[str, ...], ...] = ()
    unwatched: Exception | None = None

    def follow(self, traced: Sequence[str]) -> None:
        """Agree with the exporter on who was called by which path, and tag by it.

        A hook sees the instance that is called, not the attribute it was reached by, so of a module registered under
        several paths only the tracer knows which one was meant. Modules that only the tracer called (the branch of a
        condition that the example inputs didn't take) become segments of their children's tags.

        Args:
            traced: paths of the traced module calls, in order; a call that left no node is missing.
        """
        for paths in self.aliases:
            known = [path for path in traced if path in paths]
            watched = [call for call in self.calls if call.path in paths]
            if len(known) == len(watched):
                for call, path in zip(watched, known, strict=True):
                    call.path = path
        self._summarize()
        retag(self.modules, also_called=frozenset(traced))

    def _summarize(self) -> None:
        """Fill in what the calls tell of each module: how often, when first, with which shapes."""
        for info in self.modules.values():
            info.calls, info.execution_order, info.input_shapes, info.output_shapes = 0, None, [], []
        costs: dict[str, list[Cost | None]] = {}
        for call in self.calls:
            info = self.modules[call.path]
            if info.execution_order is None:
                info.execution_order = call.order
                info.input_shapes, info.output_shapes = call.input_shapes, call.output_shapes
            call.call = info.calls
            info.calls += 1
            costs.setdefault(call.path, []).append(call.cost)
        for path, info in self.modules.items():
            info.cost = Cost.total(costs.get(path, []))

    @property
    def executed(self) -> list[str]:
        """Paths of the modules that ran, in the order of their first call."""
        ran = [info for info in self.modules.values() if info.execution_order is not None]
        return [info.path for info in sorted(ran, key=lambda info: info.execution_order or 0)]


def class_name_of(module: nn.Module) -> str:
    """The class that the model's author wrote.

    ``torch.nn.utils.parametrize`` gives an instance the generated subclass ``ParametrizedLinear``, which is
    looked through. ``torch.compile`` wraps a module in an ``OptimizedModule``, a module of its own with the
    original one level below.
    """
    kind = type(module)
    if is_parametrized(module) and kind.__name__ == f"Parametrized{kind.__bases__[0].__name__}":
        kind = kind.__bases__[0]
    return kind.__name__


def module_table(model: nn.Module) -> dict[str, ModuleInfo]:
    """Every registered module by path, with class, own parameter count and tag; nothing has run yet.

    Tags follow the registration tree here; :func:`retag` narrows them to the modules that really run.
    """
    table = {}
    traced = traced_classes(model)
    for path, module in model.named_modules(remove_duplicate=False):
        parameters = list(module.parameters(recurse=False))
        own = sum(parameter.numel() for parameter in parameters)
        can_run = getattr(getattr(module, "forward", None), "__func__", None) is not nn.Module.forward
        table[path] = ModuleInfo(
            path=path,
            class_name=traced.get(path) or class_name_of(module),
            parameters=own,
            has_forward=can_run,
            params_bytes=tensor_bytes(parameters),
        )
    retag(table)
    return table


def traced_classes(model: nn.Module) -> dict[str, str]:
    """Class names of the modules that traced programs among the modules were made from, by path.

    ``torch.export`` turns a model into one ``GraphModule`` whose submodules only hold parameters; which class
    each of them was stands in the call stacks of the program's nodes.
    """
    found: dict[str, str] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if not isinstance(module, torch.fx.GraphModule):
            continue
        for node in module.graph.nodes:
            for inner, kind in (node.meta.get("nn_module_stack") or {}).values():
                inner = inner.partition("@")[0]  # the call index
                name = kind if isinstance(kind, str) else kind.__qualname__
                found.setdefault(join_path(path, inner), last_segment(name))
    return found


def retag(table: dict[str, ModuleInfo], also_called: Collection[str] = ()) -> None:
    """Give each module its tag: one segment per *called* module around it.

    Containers without a forward of their own (``ModuleList``, ``ModuleDict``, an unrolled ``Sequential``)
    never are on a call path, so their names stay part of their children's relative path. A module that itself
    never ran still gets the tag it would have; around it, one that can be called counts as called if nothing
    inside of it ran, since that says nothing of how it would have been reached.

    Args:
        table: modules by path; their ``tag`` is set.
        also_called: paths that count as called beside those that were seen to run.
    """
    reached = {outer for path, info in table.items() if info.executed for outer in ancestors(path)}
    for path, info in table.items():
        chain = [("", _tag_name(table[""]))]
        for outer in reversed([*ancestors(path)][:-1]):
            enclosing = table.get(outer)
            if enclosing is None:
                continue
            called = enclosing.executed or enclosing.path in also_called
            if called or (enclosing.has_forward and enclosing.path not in reached):
                chain.append((enclosing.path, _tag_name(enclosing)))
        if path:
            chain.append((path, _tag_name(info)))
        info.tag = str(HierarchyTag.from_modules(chain))


def _tag_name(info: ModuleInfo) -> str:
    return info.name_in_tags or info.class_name


def name_modules(table: dict[str, ModuleInfo], model: nn.Module, rule: NamingRule | None) -> None:
    """Let a naming rule choose the names that tags give the modules' classes; classes stay what they are.

    Args:
        table: modules by path; their names in tags are set.
        model: the model that they are of.
        rule: module and path → a name, or None for the class's own.

    Raises:
        HTPUsageError: it gives something else.
    """
    if rule is None:
        return
    for path, module in model.named_modules(remove_duplicate=False):
        name = rule(module, path)
        if name is None:
            continue
        if not isinstance(name, str) or not name:
            raise HTPUsageError(
                f"the naming rule must give a non-empty name or None for {type(module).__name__} {path!a}, got {name!r}"
            )
        table[path].name_in_tags = name
    retag(table)


def tensors_in(value: object, where: str, _depth: int = 0) -> Iterator[TensorRecord]:
    """Every tensor in nested tuples, lists, mappings, dataclasses and caches, with where it was found."""
    if isinstance(value, torch.Tensor):
        yield TensorRecord(where, value, writes_to(value))
    elif _depth >= 8 or value is None or isinstance(value, (str, bytes, int, float, bool, torch.Size)):
        return
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors_in(item, f"{where}.{key}", _depth + 1)
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from tensors_in(item, f"{where}[{index}]", _depth + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for item_field in fields(value):
            item = getattr(value, item_field.name, None)
            yield from tensors_in(item, f"{where}.{item_field.name}", _depth + 1)
    elif hasattr(value, "layers") and isinstance(value.layers, list):  # transformers' Cache
        for index, layer in enumerate(value.layers):
            for name, item in vars(layer).items():  # keys and values, or the states of other kinds of layers
                yield from tensors_in(item, f"{where}.layers[{index}].{name}", _depth + 1)
    elif hasattr(value, "self_attention_cache"):  # transformers' EncoderDecoderCache
        for name in ("self_attention_cache", "cross_attention_cache"):
            yield from tensors_in(getattr(value, name, None), f"{where}.{name}", _depth + 1)


def _generated(module: nn.Module) -> Iterator[TensorRecord]:
    """Tensors that stand in for parameters (``torch.func.functional_call``): a call takes those as well."""
    for inner in module.modules():
        for name, tensor in inner._parameters.items():
            if tensor is not None and not isinstance(tensor, nn.Parameter):
                yield TensorRecord(name, tensor, writes_to(tensor))


class _Watcher:
    """Forward hooks on every module instance; keeps the stack of open calls."""

    def __init__(self, model: nn.Module, hierarchy: Hierarchy, flops: Flops, kept: Kept | None) -> None:
        self._hierarchy = hierarchy
        self._flops = flops
        self._kept = kept
        self._open: list[ModuleCall] = []
        self._begun: dict[int, tuple[int, int, int]] = {}  # a call's order → what had been counted before it
        self._paths: dict[int, list[str]] = {}
        self._completed = 0
        for path, module in model.named_modules(remove_duplicate=False):
            self._paths.setdefault(id(module), []).append(path)
        hierarchy.aliases = tuple(tuple(paths) for paths in self._paths.values() if len(paths) > 1)

    def _path_of(self, module: nn.Module) -> str:
        """The path by which the caller reached a module that is registered under several."""
        paths = self._paths[id(module)]
        if len(paths) == 1 or not self._open:
            return paths[0]
        caller = self._open[-1].path
        inside = [path for path in paths if not caller or path.startswith(f"{caller}.")]
        return min(inside or paths, key=lambda path: (path.count("."), paths.index(path)))

    def enter(self, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        path = self._path_of(module)
        call = ModuleCall(
            path=path,
            class_name=self._hierarchy.modules[path].class_name,
            order=len(self._hierarchy.calls),
            call=0,  # counted when all calls are known
            parent=self._open[-1].order if self._open else None,
        )
        inputs = [*tensors_in(args, "args"), *tensors_in(kwargs, "kwargs")]
        call.input_shapes = [list(record.tensor.shape) for record in inputs]
        if self._kept is not None:
            call.inputs = [self._kept.keep(record) for record in (*inputs, *_generated(module))]
        self._hierarchy.calls.append(call)
        self._hierarchy.execution_steps += 1
        self._open.append(call)
        self._begun[call.order] = self._flops.totals

    def leave(self, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], output: object) -> None:
        # A call whose forward raised inside a caught exception never leaves: drop what is still open above us.
        while self._open and self._open[-1].path not in self._paths[id(module)]:
            self._open.pop()
        if not self._open:
            return
        call = self._open.pop()
        call.completed = self._completed
        self._completed += 1
        self._hierarchy.execution_steps += 1
        outputs = list(tensors_in(output, "output"))
        call.output_shapes = [list(record.tensor.shape) for record in outputs]
        call.cost = self._flops.since(self._begun[call.order], (record.tensor for record in outputs))
        if self._kept is not None:
            call.outputs = [self._kept.keep(record) for record in outputs]


def watch_forward(
    model: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object], *, keep_tensors: bool
) -> Hierarchy:
    """Run ``model(*args, **kwargs)`` once without gradients and describe what ran.

    Args:
        model: hooked while it runs; its hooks are its own again afterwards.
        args: positional ones of the call.
        kwargs: keyword ones.
        keep_tensors: keep what every module took and returned (for parity); costs the activations' memory.

    Raises:
        Exception: whatever the model's forward (or one of the user's hooks) raises.
    """
    hierarchy = Hierarchy(module_table(model))
    kept = None
    if keep_tensors:
        given = (record.tensor for record in tensors_in((args, kwargs), "given"))
        kept = Kept((*given, *model.parameters(), *model.buffers()))
    flops = Flops(kept)
    watcher = _Watcher(model, hierarchy, flops, kept)
    with eager(), ExitStack() as hooks:
        for module in model.modules():
            # First, since what the user's own hooks make of the arguments crosses no border: exporters put their
            # operators inside the module. Last on the way out, for the same reason.
            hooks.enter_context(module.register_forward_pre_hook(watcher.enter, with_kwargs=True, prepend=True))
            hooks.enter_context(module.register_forward_hook(watcher.leave, with_kwargs=True))
        with flops:
            hierarchy.result = model(*args, **kwargs)
    if keep_tensors:  # of what is returned, a copy: a stateful model may write to it in its next run
        hierarchy.result = pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.detach().clone(), hierarchy.result)
    hierarchy._summarize()
    retag(hierarchy.modules)
    return hierarchy
