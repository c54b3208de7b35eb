"""Names for nodes that ONNX Runtime reports without one: those of an operator's body, and those that had none.

An operator that no provider can run, but that ONNX describes by others (``Mish``, ``GroupNormalization``), is replaced
by these, in the order of their body, and reported in the order of the graph.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

import msgspec
import onnx
from onnx.inliner import inline_selected_functions

from pytest_htp.carry.names import extended_name
from pytest_htp.targets.messages import CompiledNode

_DOMAINS = ("", "ai.onnx")


def with_names(compiled: Sequence[CompiledNode], model: onnx.ModelProto) -> list[CompiledNode]:
    """The same nodes, those without a name called after what they stand for: ``node_mish_3/Softplus_0``.

    They are distinguished by their operator and its place among equal ones. Where these are on several devices, or more
    or fewer than the graph has, they stay without a name.

    Args:
        compiled: as the compiler has them.
        model: that was compiled; it may lack weights that are in files of their own.
    """
    nameless: dict[str, list[int]] = {}
    for position, made in enumerate(compiled):
        if not all(made.names):
            nameless.setdefault(made.op_type, []).append(position)
    if not nameless:
        return list(compiled)
    expected = _expected(compiled, model, nameless)
    named = list(compiled)
    for operator, positions in nameless.items():
        names = expected.get(operator, [])
        if len(names) == len(positions) and len({compiled[position].device for position in positions}) == 1:
            for position, name in zip(positions, names, strict=True):
                named[position] = msgspec.structs.replace(compiled[position], names=[name])
    return named


def _expected(compiled: Sequence[CompiledNode], model: onnx.ModelProto, made: Container[str]) -> dict[str, list[str]]:
    """Operator → names of nodes of the graph, with bodies in place of what they replace, that had no name."""
    named = {node.name for node in model.graph.node if node.name}
    model = copy.deepcopy(model)
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    present = {extended_name(name, named) for node in compiled for name in node.names}
    gone = [node for node in model.graph.node if node.name not in present]
    # A type of which some are left is one that a provider runs.
    left = {node.op_type for node in model.graph.node if node.name in present}
    replaced = {node.op_type for node in gone if node.op_type not in left and _may_become(node, model, made)}
    nodes = list(model.graph.node)
    if replaced:
        wanted = [(domain, name) for name in sorted(replaced) for domain in _DOMAINS]
        try:
            inlined = inline_selected_functions(_typed(model), wanted, inline_schema_functions=True)
        except Exception:  # onnx raises its own and RuntimeErrors, as for a type that it can't infer
            return {}
        nodes = list(inlined.graph.node)
        _name_bodies(nodes, [node for node in gone if node.op_type in replaced])
    expected: dict[str, list[str]] = {}
    for node in nodes:
        if node.name not in named:
            expected.setdefault(node.op_type, []).append(node.name)
    return expected


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with types of all its values: some bodies depend on them."""
    typed = onnx.shape_inference.infer_shapes(model)
    typed.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in typed.graph.initializer
    )
    return typed


def _may_become(node: onnx.NodeProto, model: onnx.ModelProto, made: Container[str]) -> bool:
    """Whether ONNX describes the operator by others, of which some were ``made``."""
    version = next((entry.version for entry in model.opset_import if entry.domain in _DOMAINS), None)
    if node.domain not in _DOMAINS or version is None or not onnx.defs.has(node.op_type, version):
        return False
    schema: Any = onnx.defs.get_schema(node.op_type, version)
    if schema.has_context_dependent_function:
        return True
    return schema.has_function and any(inner.op_type in made for inner in schema.function_body.node)


def _name_bodies(nodes: Sequence[onnx.NodeProto], calls: Sequence[onnx.NodeProto]) -> None:
    """Each body is where its call was; it ends where all that the call returned is made."""
    waiting = list(calls)
    missing: set[str] = set()
    call = waiting[0]
    for number, node in enumerate(node for node in nodes if not node.name):
        if not missing and waiting:
            call = waiting.pop(0)
            missing = set(filter(None, call.output))
        node.name = f"{call.name}/{node.op_type}_{number}"
        missing -= set(node.output)
