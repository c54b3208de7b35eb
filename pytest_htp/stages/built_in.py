"""The stages that go by a name. Each does what its library does by default; imports onnx and onnxruntime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from pytest_htp.errors import HTPUsageError

# From here on weights go into a file beside the graph: protobuf ends at 2 GiB, and quantizers copy several times.
_EXTERNAL_BYTES = 2**30
# Its result depends on the instruction set of the CPU (the block size of its layout is that of a vector register).
MACHINE_DEPENDENT = ("NchwcTransformer",)
_WARNINGS, _FATAL = 2, 4  # errors reach us as exceptions
_NAME_TAKEN = "Attempt to replace the existing tensor"
_NO_SCALE = 1e30  # what masks write as "minus infinity" (the lowest finite number) is far beyond it, no signal is
_SHAPE = 16  # elements of a constant that may be a shape

Feed = dict[str, npt.NDArray[np.generic]]


def run(name: str, source: Path, destination: Path, calibration: Sequence[Feed], extensions: Sequence[str]) -> None:
    """Run the stage ``name``; the rest as in :func:`pytest_htp.stages.run_stage`. Raises what the library raises, and
    HTPUsageError.
    """
    ort.set_default_logger_severity(_FATAL)  # what C++ writes reaches no report
    try:
        if name == "int8:qdq":
            _quantize_static(source, destination, calibration)
        elif name in _LEVELS:
            optimize(_LEVELS[name], source, destination, extensions=extensions)
        else:
            _WITHOUT_INPUTS[name](source, destination)
    finally:
        ort.set_default_logger_severity(_WARNINGS)


def optimize(
    level: str, source: Path, destination: Path, *, without: Sequence[str] = (), extensions: Sequence[str] = ()
) -> None:
    """ONNX Runtime's offline optimization for the CPU.

    Args:
        level: ``BASIC``, ``EXTENDED`` or ``ALL``.
        source: the file to read.
        destination: the file to write.
        without: optimizers left out, by ONNX Runtime's names.
        extensions: paths of libraries that register operators of other domains.
    """
    try:
        _optimize(level, source, destination, without, extensions)
    except ort_errors.Fail as error:
        if _NAME_TAKEN not in str(error):
            raise
        with TemporaryDirectory(prefix="htp-") as folder:
            _optimize(level, _renamed(source, Path(folder)), destination, without, extensions)


def _optimize(level: str, source: Path, destination: Path, without: Sequence[str], extensions: Sequence[str]) -> None:
    options = ort.SessionOptions()
    for library in extensions:
        options.register_custom_ops_library(library)
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(destination)
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = 1  # nothing is run but the folding of constants
    if _has_weights_beside(source):
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", f"{destination.name}.data"
        )
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    ort.InferenceSession(
        str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without) or None
    )


def _renamed(source: Path, folder: Path) -> Path:
    """A copy whose small integer constants have names of their own.

    In a graph that ONNX Runtime optimized before, the names it gave to shapes then can meet those it gives now, and
    it refuses to go on.
    """
    model = ir.load(source)
    taken = {name for graph in model.graphs() for name in graph.initializers}
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            if value.dtype is ir.DataType.INT64 and value.const_value is not None and value.const_value.size < _SHAPE:
                name = next(name for k in count() if (name := f"{value.name}.{k}") not in taken)
                taken.add(name)
                value.name = name
    path = folder / "renamed.onnx"
    ir.save(model, path, external_data=f"{path.name}.data" if _has_weights_beside(source) else None)
    return path


def _half_precision(source: Path, destination: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    large = _is_large(source)
    converted = convert_float_to_float16(onnx.load(source), keep_io_types=True, disable_shape_infer=large)
    # Two operators left in float that read the same value (cumulative sums of a mask) get the same Cast twice.
    nodes = {tuple(node.output): node for node in converted.graph.node}
    del converted.graph.node[:]
    converted.graph.node.extend(nodes.values())
    model = ir.from_proto(converted)
    model.graph.sort()  # it appends the Casts of inputs behind their readers
    ir.save(model, destination, external_data=f"{destination.name}.data" if large else None)


def _quantize_dynamic(source: Path, destination: Path) -> None:
    """Unsigned weights: x86 without VNNI adds products of unsigned and signed bytes with saturation, so that signed
    ones (the library's default) give other values there: https://onnxruntime.ai/docs/performance/model-optimizations/
    quantization.html, "Data type selection". Measured on AVX2: 10 dB instead of 39 for a small residual network.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = _for_quantizing(source)
    quantize_dynamic(
        model,
        destination,
        weight_type=QuantType.QUInt8,
        nodes_to_exclude=_computed_weights(model),
        use_external_data_format=_is_large(source),
    )


def _quantize_static(source: Path, destination: Path, calibration: Sequence[Feed]) -> None:
    """Unsigned values and weights, for the reason given at :func:`_quantize_dynamic`.

    What holds a mask's "minus infinity" stays in float: a scale that reaches there leaves 0 for all else. Measured on
    all-MiniLM-L6-v2 with padded sentences: SQNR of the sentence embeddings -1 dB with it quantized, 5 dB without.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    if not calibration:
        raise HTPUsageError("the calibration set is empty; pass calibration=[inputs, …], or leave it out to use inputs")

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[Feed] = iter(calibration)

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    def quantize(excluded: list[str]) -> None:
        quantize_static(
            _with_names_to_extend(_for_quantizing(source)),
            destination,
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QUInt8,
            nodes_to_exclude=excluded,
            use_external_data_format=_is_large(source),
        )

    for number, feeds in enumerate(calibration, start=1):
        for name, array in feeds.items():
            if np.isnan(array).any():  # the calibrator ignores some, and stumbles over others
                raise HTPUsageError(f"calibration, set {number}: {name!a} holds NaN, of which no scale can be made")
    quantize([])
    masked = _at_masks(source, destination)
    if masked:
        quantize(masked)


def _at_masks(source: Path, quantized: Path) -> list[str]:
    """Nodes that make or read a value whose scale in the quantized graph covers a mask's "minus infinity"."""
    graph = onnx.load(quantized).graph
    scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.dims in ([], [1])}
    quantizing = (node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[1] in scales)
    masks = {node.input[0] for node in quantizing if not scales[node.input[1]].max() < _NO_SCALE}
    nodes = onnx.load(source, load_external_data=False).graph.node
    return [node.name for node in nodes if node.name and not masks.isdisjoint((*node.input, *node.output))]


def _for_quantizing(source: Path) -> onnx.ModelProto:
    """The model without shapes written down for its weights: the quantizers transpose weights and leave the old shapes
    there, over which their own shape inference then stumbles.
    """
    model = onnx.load(source)
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [info for info in model.graph.value_info if info.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    return model


def _with_names_to_extend(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with other names for weights that several nodes read where a number behind the name makes a value's.

    The quantizer copies a bias for each further reader and numbers the copies, by the names of weights alone: that of
    ``val_11`` may become ``val_117``, which a node makes.
    """
    graph = model.graph
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return model  # bodies read weights of the graph around them as well
    readers = Counter(name for node in graph.node for name in set(node.input))
    made = {name for node in graph.node for name in node.output}
    extended = {name[:end] for name in made for end in range(len(name.rstrip("0123456789")), len(name))}
    shared = (tensor.name for tensor in graph.initializer if readers[tensor.name] > 1)
    names = {name: f"{name}_copy_" for name in shared if name in extended}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return model


def _computed_weights(model: onnx.ModelProto) -> list[str]:
    """Convolutions whose weight other nodes compute (weight normalization): ``quantize_dynamic`` refuses a model that
    has one, so they stay in float.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] not in weights]


def _has_weights_beside(source: Path) -> bool:
    """Whether the result gets a file of weights of its own: what is left of its source's lies in its folder alone."""
    return _is_large(source) or _data_of(source).exists()


def _data_of(source: Path) -> Path:
    return source.with_name(f"{source.name}.data")


def _is_large(source: Path) -> bool:
    data = _data_of(source)
    return source.stat().st_size + (data.stat().st_size if data.exists() else 0) > _EXTERNAL_BYTES


_LEVELS = {"ort:basic": "BASIC", "ort:extended": "EXTENDED", "ort:all": "ALL"}
_WITHOUT_INPUTS: dict[str, Callable[[Path, Path], None]] = {
    "fp16": _half_precision,
    "int8:dynamic": _quantize_dynamic,
}
