"""What runs as a stage: ONNX Runtime's own tools with the options that users change, and edits of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.transformers.float16 import convert_float_to_float16

from pytest_htp.stages.built_in import optimize
from tests.faults._staged import Tool

Edit = Callable[[onnx.ModelProto], object]


def optimizer(*without: str, level: str = "EXTENDED") -> Tool:
    """ONNX Runtime's optimizer with some of its passes switched off."""
    return partial(optimize, level, without=without)


def dynamic(**options: Any) -> Tool:
    """``exclude``: modules whose nodes stay as they are; others as ``quantize_dynamic`` has them."""

    def tool(source: Path, destination: Path) -> None:
        quantize_dynamic(_without_shapes(source), destination, **_named(source, options))

    return tool


def static_types(*without: str) -> list[str]:
    """The operators that ``quantize_static`` quantizes by itself, but some."""
    return sorted({*QLinearOpsRegistry, *QDQRegistry} - {*without})


def static(scale: float = 1.0, **options: Any) -> Tool:
    """Calibrated on ones, times ``scale``, with options as for :func:`dynamic`."""

    def tool(source: Path, destination: Path) -> None:
        model = _without_shapes(source)
        given = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8, **_named(source, options)}
        quantize_static(model, destination, _Example(model, scale), quant_format=QuantFormat.QDQ, **given)

    return tool


def half(**options: Any) -> Tool:
    def tool(source: Path, destination: Path) -> None:
        model = onnx.load(source)
        given = _named(source, options, "node_block_list")
        converted = ir.from_proto(convert_float_to_float16(model, **{"keep_io_types": True, **given}))
        converted.graph.sort()  # it appends Casts behind their readers
        ir.save(converted, destination)

    return tool


def edited(*changes: Edit) -> Tool:
    """The file, changed."""

    def tool(source: Path, destination: Path) -> None:
        model = onnx.load(source)
        for change in changes:
            change(model)
        onnx.save(model, destination)

    return tool


def then(*tools: Tool) -> Tool:
    """One tool after the other, as one stage."""

    def tool(source: Path, destination: Path) -> None:
        for number, each in enumerate(tools):
            last = number == len(tools) - 1
            made = destination if last else destination.with_name(f"{number}.onnx")
            each(source, made)
            source = made

    return tool


def _named(source: Path, options: dict[str, Any], key: str = "nodes_to_exclude") -> dict[str, Any]:
    """Options with the names of nodes in place of the modules under ``exclude``."""
    modules = options.get("exclude", ())
    rest = {name: value for name, value in options.items() if name != "exclude"}
    if not modules:
        return rest
    names = [node.name for node in onnx.load(source, load_external_data=False).graph.node if module_of(node) in modules]
    assert names, f"no node in {modules}"
    return {**rest, key: names}


def _without_shapes(source: Path) -> onnx.ModelProto:
    model = onnx.load(source)
    del model.graph.value_info[:]
    return model


class _Example(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, model: onnx.ModelProto, scale: float) -> None:
        feeds = {value.name: _example(value, scale) for value in model.graph.input}
        self._feeds: Iterator[dict[str, Any]] = iter([feeds])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def _example(value: onnx.ValueInfoProto, scale: float) -> np.ndarray[Any, Any]:
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    shape = [dim.dim_value or 2 for dim in value.type.tensor_type.shape.dim]
    if kind.kind != "f":
        return np.ones(shape, kind)
    return (np.random.default_rng(0).standard_normal(shape) * scale).astype(kind)


@lru_cache
def _path_of(tag: str) -> str:
    from pytest_htp import HierarchyTag

    return HierarchyTag.parse(tag).module_path


def module_of(node: onnx.NodeProto) -> str | None:
    tags = [prop.value for prop in node.metadata_props if prop.key.endswith("hierarchy.tag")]
    return _path_of(tags[0]) if tags else None


def node_in(model: onnx.ModelProto, module: str, op_type: str) -> onnx.NodeProto:
    """The first node of an operator in a module."""
    found = [node for node in model.graph.node if node.op_type == op_type and module_of(node) == module]
    assert found, f"no {op_type} in {module}: {sorted({(module_of(n) or '', n.op_type) for n in model.graph.node})}"
    return found[0]


def stored(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def behind(model: onnx.ModelProto, node: onnx.NodeProto, op_type: str, **attributes: Any) -> None:
    """An operator of one input put behind a node, without metadata, as tools leave it."""
    name = node.output[0]
    node.output[0] = f"{name}_before"
    made = helper.make_node(op_type, [node.output[0]], [name], f"{name}_{op_type}", **attributes)
    model.graph.node.insert([*model.graph.node].index(node) + 1, made)


# Edits


def swap_operator(module: str, was: str, now: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        node = node_in(model, module, was)
        node.op_type = now
        del node.attribute[:]

    return edit


def leave_weights_behind(*modules: str) -> Edit:
    """Copies of the weights of these modules that nothing reads stay in the file."""

    def edit(model: onnx.ModelProto) -> None:
        for module in modules:
            tensor = stored(model, node_in(model, module, "MatMul").input[1])
            copy = onnx.TensorProto.FromString(tensor.SerializeToString())
            copy.name = f"{tensor.name}_before"
            model.graph.initializer.append(copy)

    return edit


def untie_head(model: onnx.ModelProto) -> None:
    """The head gets a tensor of its own in place of the embedding's."""
    gather = node_in(model, "embed", "Gather")
    (reader,) = (node for node in model.graph.node if gather.input[0] in node.input and node.op_type != "Gather")
    array = numpy_helper.to_array(stored(model, gather.input[0]))
    model.graph.initializer.append(numpy_helper.from_array(array.copy(), "untied"))
    reader.input[[*reader.input].index(gather.input[0])] = "untied"


def half_weight(module: str) -> Edit:
    """One weight stored in half precision, and a Cast before what reads it."""

    def edit(model: onnx.ModelProto) -> None:
        node = node_in(model, module, "MatMul")
        tensor = stored(model, node.input[1])
        array = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        del model.graph.value_info[:]
        cast = helper.make_node("Cast", [tensor.name], ["single"], "to_single", to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
        node.input[1] = "single"

    return edit


def cast_behind(module: str, op_type: str, to: int = onnx.TensorProto.DOUBLE) -> Edit:
    """A value goes through another element type and back."""

    def edit(model: onnx.ModelProto) -> None:
        node = node_in(model, module, op_type)
        behind(model, node, "Cast", to=onnx.TensorProto.FLOAT)
        behind(model, node, "Cast", to=to)

    return edit


def operator_behind(module: str, was: str, op_type: str, **attributes: Any) -> Edit:
    return lambda model: behind(model, node_in(model, module, was), op_type, **attributes)


def vendor_operator(module: str, op_type: str, domain: str = "com.microsoft") -> Edit:
    """The same operator out of a vendor's domain."""

    def edit(model: onnx.ModelProto) -> None:
        node = node_in(model, module, op_type)
        node.domain = domain
        del node.attribute[:]
        model.opset_import.append(helper.make_opsetid(domain, 1))

    return edit


def exchanged_weights(first: str, second: str) -> Edit:
    """Two modules read each other's weight."""

    def edit(model: onnx.ModelProto) -> None:
        a, b = node_in(model, first, "MatMul"), node_in(model, second, "MatMul")
        a.input[1], b.input[1] = b.input[1], a.input[1]

    return edit


def opset(version: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        model.CopyFrom(version_converter.convert_version(model, version))

    return edit


def drop_last_output(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


def rename_output(model: onnx.ModelProto) -> None:
    output = model.graph.output[0]
    for node in model.graph.node:
        node.output[:] = ["renamed" if name == output.name else name for name in node.output]
        node.input[:] = ["renamed" if name == output.name else name for name in node.input]
    output.name = "renamed"


def swap_outputs(model: onnx.ModelProto) -> None:
    outputs = [*model.graph.output]
    del model.graph.output[:]
    model.graph.output.extend(reversed(outputs))


def fix_axes(**sizes: int) -> Edit:
    """Symbolic axes made constants of these sizes (all others stay)."""

    def edit(model: onnx.ModelProto) -> None:
        del model.graph.value_info[:]
        names = [dim.dim_param for value in model.graph.input for dim in value.type.tensor_type.shape.dim]
        known = dict(zip(dict.fromkeys(name for name in names if name), sizes.values(), strict=False))
        for value in (*model.graph.input, *model.graph.output):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in known:
                    dim.dim_value = known[dim.dim_param]

    return edit


def branch(module: str, was: str) -> Edit:
    """A value goes through an If whose branches give it on."""

    def edit(model: onnx.ModelProto) -> None:
        node = node_in(model, module, was)
        name = node.output[0]
        node.output[0] = "given"
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
        bodies = {}
        for key, op_type in (("then_branch", "Identity"), ("else_branch", "Neg")):
            value = helper.make_tensor_value_info(f"{key}_out", onnx.TensorProto.FLOAT, None)
            inner = helper.make_node(op_type, ["given"], [value.name], f"{key}_{op_type}")
            bodies[key] = helper.make_graph([inner], key, [], [value])
        place = [*model.graph.node].index(node) + 1
        model.graph.node.insert(place, helper.make_node("If", ["always"], [name], "chosen", **bodies))

    return edit


def rename_everything(model: onnx.ModelProto) -> None:
    """Nodes and values get other names, and no metadata is left: what many converters do. Weights keep theirs: of
    normalizations, whose weights are all nearly one, contents alone would not tell which is which."""
    kept = {value.name for value in (*model.graph.input, *model.graph.output, *model.graph.initializer)}
    names: dict[str, str] = {name: name for name in (*kept, "")}
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"
        del node.metadata_props[:]
        for tensors in (node.input, node.output):
            tensors[:] = [names.setdefault(name, f"v{len(names)}") for name in tensors]
    del model.graph.value_info[:]


def reorder_nodes(model: onnx.ModelProto) -> None:
    """Another topological order: what can come late comes late."""
    waiting, ready = [*model.graph.node], []
    needed = [name for node in waiting for name in node.input]
    while waiting:
        last = next(node for node in reversed(waiting) if not any(out in needed for out in node.output))
        for name in last.input:
            needed.remove(name)
        waiting.remove(last)
        ready.append(last)
    del model.graph.node[:]
    model.graph.node.extend(reversed(ready))


def unchanged(model: onnx.ModelProto) -> None:
    pass


def modules_with(layers: Sequence[int], *names: str) -> tuple[str, ...]:
    return tuple(f"blocks.{layer}.{name}" for layer in layers for name in names)
