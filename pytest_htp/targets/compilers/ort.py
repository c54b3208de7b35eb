"""Any execution provider of ONNX Runtime, built in or a plugin: making a session compiles.

Which node runs where is recorded when the graph is partitioned: after the optimizations that every provider gets,
before those of the CPU's own. So rows do not depend on the instruction set of the machine.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from pytest_htp.errors import HTPUsageError
from pytest_htp.targets.compilers.bodies import with_names
from pytest_htp.targets.compilers.edges import with_origins
from pytest_htp.targets.messages import CompileAnswer, CompiledNode, CompileRequest
from pytest_htp.targets.target import CPU, QNN

# How ONNX Runtime begins what a plugin says before it has seen any graph: it can't work with its options.
_NOT_MADE = "Error creating execution provider: "


def compile_graph(request: CompileRequest) -> CompileAnswer:
    """Make a session of the graph with the provider first and the CPU behind it.

    Raises:
        HTPUsageError: the library does not load, there is no such provider, or it offers no device.
    """
    assert request.provider is not None
    device = short_name(request.provider)
    options = ort.SessionOptions()
    # Above it are layouts made for this very CPU.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.intra_op_num_threads = 1
    # The fallback of Python's session would run everything on the CPU.
    more = {"enable_fallback": 0, **_add_provider(options, request)}
    try:
        nodes, pieces = _assigned(request, options, more)
    except Exception as error:
        words = _words(error)
        if _NOT_MADE in words:
            words = _words(words.partition(_NOT_MADE)[2])
            raise HTPUsageError(f"target {request.target!r}: {request.provider} can't be made: {words}") from error
        return CompileAnswer(outcome="failed", device=device, message=words)
    path = Path(request.model)
    graph = onnx.load(path, load_external_data=False)
    nodes = with_origins(with_names(nodes, graph), graph.graph, path, Path.cwd())
    return CompileAnswer(outcome="compiled", device=device, nodes=nodes, partitions=pieces)


def _assigned(request: CompileRequest, options: Any, more: dict[str, object]) -> tuple[list[CompiledNode], int]:
    """The nodes as providers got them, and how many pieces the target got. The session is gone then."""
    session = ort.InferenceSession(request.model, options, **more)
    subgraphs = session.get_provider_graph_assignment_info()
    nodes = [
        CompiledNode(
            names=[node.name],
            op_type=node.op_type,
            device=short_name(subgraph.ep_name),
            piece=None if subgraph.ep_name == CPU else number,
        )
        for number, subgraph in enumerate(subgraphs)
        for node in subgraph.get_nodes()
    ]
    pieces = sum(subgraph.ep_name == request.provider for subgraph in subgraphs)
    return nodes, min(pieces, 1) if request.provider == CPU else pieces  # the CPU is asked node by node


def short_name(provider: str) -> str:
    """``QNN`` for ``QNNExecutionProvider``."""
    return provider.removesuffix("ExecutionProvider")


def _add_provider(options: Any, request: CompileRequest) -> dict[str, object]:
    provider = request.provider
    library, given = request.library, dict(request.options)
    if provider == QNN and library is None:
        package = import_module("onnxruntime_qnn")
        library, given["backend_path"] = package.get_library_path(), package.get_qnn_htp_path()
        given = {"dump_json_qnn_graph": "1", "json_qnn_graph_dir": str(Path.cwd()), **given}
    if library is None:
        if provider not in ort.get_available_providers():
            raise HTPUsageError(
                f"target {request.target!r}: this onnxruntime has no {provider} (it has "
                f"{', '.join(ort.get_available_providers())}); for a plugin provider give its library="
            )
        return {"providers": [(provider, given)] + ([CPU] if provider != CPU else [])}
    try:
        ort.register_execution_provider_library(provider, library)
    except Exception as error:
        raise HTPUsageError(
            f"target {request.target!r}: the library {library} does not load: {_words(error)}"
        ) from error
    devices = [device for device in ort.get_ep_devices() if device.ep_name == provider]
    if not devices:
        raise HTPUsageError(f"target {request.target!r}: {provider} loads but offers no device on this machine")
    options.add_provider_for_devices(devices, given)
    return {}


def _words(error: Exception | str) -> str:
    """The message without ONNX Runtime's own prefix, ``[ONNXRuntimeError] : 11 : EP_FAIL : ``."""
    text = str(error)
    parts = text.split(" : ", 3)
    return parts[3].strip() if len(parts) == 4 and parts[0] == "[ONNXRuntimeError]" else text.strip()
