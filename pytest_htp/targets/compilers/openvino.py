"""OpenVINO: compiles for one of its devices and tells by its runtime graph what became of each node."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import openvino

from pytest_htp.errors import HTPUsageError, suggestion
from pytest_htp.targets.messages import CompileAnswer, CompiledNode, CompileRequest

# Of the runtime graph: what computes nothing, and changes of layout, which depend on this CPU's instructions.
_NO_COMPUTATION = ("Const", "Input", "Output", "Reorder", "Parameter", "Result")


def compile_graph(request: CompileRequest) -> CompileAnswer:
    """Compile for the option ``device`` with the others as its properties.

    Raises:
        HTPUsageError: a device that is not there, or a property that it does not have.
    """
    options = dict(request.options)
    device = options.pop("device", "CPU")
    core = openvino.Core()
    devices = device.partition(":")[2].split(",") if ":" in device else [device]
    for name in devices:
        _check(core, request.target, name, options)
    if "CPU" in devices:  # or newer processors compute in bfloat16, with conversions that others don't need
        options.setdefault("INFERENCE_PRECISION_HINT", "f32")
    try:
        model = core.read_model(request.model)
        placed = core.query_model(model, device) if len(devices) > 1 else {}
        runtime = core.compile_model(model, device, options).get_runtime_model()
    except Exception as error:
        return CompileAnswer(outcome="failed", device=devices[0], message=_words(error))
    ops = [op for op in runtime.get_ordered_ops() if _info(op, "layerType") not in _NO_COMPUTATION]
    positions = {op.get_friendly_name(): position for position, op in enumerate(ops)}
    names = [[name for name in _info(op, "originalLayersNames").split(",") if name] for op in ops]
    nodes = [
        CompiledNode(
            names=given,
            op_type=_info(op, "layerType") or op.get_type_name(),
            device=next((placed[name] for name in given if name in placed), devices[0]),
            inputs=sorted(
                {
                    positions[source]
                    for value in op.input_values()
                    if (source := value.get_node().get_friendly_name()) in positions
                }
            ),
        )
        for op, given in zip(ops, names, strict=True)
    ]
    runs = sum(1 for device, _ in groupby(node.device for node in nodes) if device == devices[0])
    return CompileAnswer(outcome="compiled", device=devices[0], nodes=nodes, partitions=runs)


def _check(core: Any, target: str, device: str, options: dict[str, str]) -> None:
    available = core.available_devices
    if device.partition(".")[0] not in {name.partition(".")[0] for name in available}:
        raise HTPUsageError(
            f"target {target!r}: OpenVINO has no device {device!r} on this machine (it has {', '.join(available)})"
        )
    known = {str(name) for name, mode in core.get_property(device, "SUPPORTED_PROPERTIES").items() if "W" in mode}
    for name, value in options.items():
        if name not in known:
            hint = suggestion(name, known)
            raise HTPUsageError(
                f"target {target!r}: OpenVINO's device {device} has no option {name!r}{hint}; known: device, "
                f"{', '.join(sorted(known))}"
            )
        try:
            core.set_property(device, {name: value})
        except Exception as error:
            raise HTPUsageError(
                f"target {target!r}: OpenVINO's device {device} refuses {name}={value!r}: {_words(error)}"
            ) from error


def _info(op: Any, key: str) -> str:
    info = op.get_rt_info()
    return str(info[key].astype(str)) if key in info else ""


def _words(error: Exception) -> str:
    """The last line that says something; the ones before name places in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
