"""One ONNX Runtime session over a saved model that yields the values inside the graph.

The graph file is read without its weights and given more outputs; ONNX Runtime takes the weights from the file
beside it, so nothing is written and no weight is copied. The in-memory program is never touched.

A plain extra output keeps its value alive until the end of a run, whether it is fetched or not: with every value
an output, each run holds them all. Above a limit, values leave through gates instead (``Slice`` up to an end that
is fed: 0 keeps nothing), a batch of them per run. Same session, same values; memory of a plain run plus one batch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir
import onnxruntime as ort
import torch
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from torch.utils.dlpack import from_dlpack

from pytest_htp.errors import HTPUsageError
from pytest_htp.parity.blocked import BlockedValues
from pytest_htp.parity.refusals import KernelMissing, RuntimeRefused
from pytest_htp.parity.weights import take_from_memory

# Values of one run are held at once up to this many bytes; beyond it they come in batches of at most this size.
BATCH_BYTES = 256 * 2**20
# Runs take a second or so; more threads only add differences between machines.
MAX_THREADS = 8

_PREFIX = "pytest_htp.gate"


class ValueSession:
    """An ONNX Runtime session over the model at ``path`` with ``extra`` values of its main graph as outputs.

    Args:
        path: the saved model; external data beside it.
        extra: value name → its estimated size in bytes.
        providers: execution providers, in order of preference.
        batch_bytes: see :data:`BATCH_BYTES`.
        program: the same graph in memory, whose weights are used where the file stores the same (see
            ``weights``).
        extensions: paths of libraries that register further operators.
        proto: the graph to run in place of the file's; it may refer to the file's external data. Modified.

    Raises:
        HTPUsageError: a provider that this onnxruntime does not have, or a library that it can't register.
        RuntimeRefused: ONNX Runtime does not accept the model.
    """

    def __init__(
        self,
        path: Path,
        extra: Mapping[str, int],
        providers: Sequence[str],
        *,
        batch_bytes: int = BATCH_BYTES,
        program: ir.Model | None = None,
        extensions: Sequence[str] = (),
        proto: onnx.ModelProto | None = None,
    ) -> None:
        available = ort.get_available_providers()
        if missing := [name for name in providers if name not in available]:
            raise HTPUsageError(
                f"execution provider {missing[0]!r} is not in this onnxruntime; it has {', '.join(available)}"
            )
        proto = onnx.load(path, load_external_data=False) if proto is None else proto
        self.outputs = [value.name for value in proto.graph.output]
        self._blocked = BlockedValues(proto.graph)
        own = set(self.outputs)
        self.batches = _batches({name: size for name, size in extra.items() if name not in own}, batch_bytes)
        self.gated = len(self.batches) > 1
        if self.gated:
            _add_gates(proto, self.batches)
        else:
            proto.graph.output.extend(onnx.ValueInfoProto(name=name) for batch in self.batches for name in batch)
        arrays = {} if program is None else take_from_memory(proto, path, program)
        # The session refers to these without owning them.
        self._weights = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
        self._session = _open(proto, path, providers, self._weights, extensions)

    def run(self, feeds: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield ``(name, value)`` in row-major order: the graph's own outputs first, then the extra ones.

        Values that are no tensors of numbers (sequences, strings) are left out.

        Raises:
            RuntimeRefused: the run failed.
        """
        for index, batch in enumerate(self.batches or [[]]):
            own = self.outputs if index == 0 else []
            fetched = {**{name: name for name in own}, **{name: self._exit(name) for name in batch}}
            yield from self._fetch(fetched, feeds, open_gate=index)

    def run_outputs(self, feeds: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the graph's own outputs only (for further input sets through the same session)."""
        yield from self._fetch({name: name for name in self.outputs}, feeds, open_gate=None)

    def _exit(self, name: str) -> str:
        return f"{_PREFIX}.out.{name}" if self.gated else name

    def _fetch(
        self, fetched: Mapping[str, str], feeds: Mapping[str, torch.Tensor], *, open_gate: int | None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        values = {name: _to_ort(tensor) for name, tensor in feeds.items()}
        for index in range(len(self.batches) if self.gated else 0):
            end = torch.tensor([int(index == open_gate)])
            values[f"{_PREFIX}.end.{index}"] = _to_ort(end)
        with _refusals("run"):
            results = self._session.run_with_ort_values(list(fetched.values()), values)
        results.reverse()
        for name in fetched:
            value = results.pop()  # released as soon as the caller is done with it
            if value.is_tensor() and value.data_type() != "tensor(string)":
                tensor = _to_torch(value)
                yield name, self._blocked.plain(name, tensor if fetched[name] == name else tensor[0])


def _batches(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    batches: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if not batches or size > room:
            batches.append([])
            room = limit
        batches[-1].append(name)
        room -= size
    return batches


def _add_gates(proto: onnx.ModelProto, batches: Iterable[Iterable[str]]) -> None:
    """``out = Slice(Unsqueeze(value, 0), 0, end)``: one value along a new first axis, or none.

    A gate follows the node that makes its value, so that the value needs to live no longer than without it.
    """
    graph = proto.graph
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=18)
    graph.initializer.append(helper.make_tensor(f"{_PREFIX}.zero", TensorProto.INT64, [1], [0]))
    gates: dict[str, list[onnx.NodeProto]] = {}
    for index, batch in enumerate(batches):
        end = f"{_PREFIX}.end.{index}"
        graph.input.append(helper.make_tensor_value_info(end, TensorProto.INT64, [1]))
        for name in batch:
            wide, out = f"{_PREFIX}.wide.{name}", f"{_PREFIX}.out.{name}"
            axes = {"inputs": [name, f"{_PREFIX}.zero"]} if opset >= 13 else {"inputs": [name], "axes": [0]}
            gates[name] = [
                helper.make_node("Unsqueeze", outputs=[wide], **axes),
                helper.make_node("Slice", [wide, f"{_PREFIX}.zero", end], [out]),
            ]
            graph.output.append(onnx.ValueInfoProto(name=out))
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        graph.node.append(node)
        for name in node.output:
            graph.node.extend(gates.get(name, ()))


def _open(
    proto: onnx.ModelProto,
    path: Path,
    providers: Sequence[str],
    weights: Mapping[str, ort.OrtValue],
    extensions: Sequence[str],
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    for name, value in weights.items():
        options.add_initializer(name, value)
    for library in extensions:
        _register(options, library)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # values as in the file
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = min(os.cpu_count() or 1, MAX_THREADS)
    options.inter_op_num_threads = 1
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.log_severity_level = 4  # errors reach us as exceptions
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent.resolve()))
    # Packed copies of the weights pay off over many runs; this session has one.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _refusals("load"):
        return ort.InferenceSession(proto.SerializeToString(), options, providers=list(providers))


def _register(options: ort.SessionOptions, library: str) -> None:
    try:
        options.register_custom_ops_library(library)
    except Exception as error:  # of no common class
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise HTPUsageError(f"ort_extensions: onnxruntime can't register {library!r}: {said[:300]}") from error


@contextmanager
def _refusals(doing: str) -> Iterator[None]:
    """Turn what ONNX Runtime raises into :class:`RuntimeRefused` with one short line."""
    try:
        yield
    except ort_errors.NotImplemented as error:
        missing = KernelMissing(_missing_kernel(str(error)))
        missing.said = str(error)
        raise missing from error
    except Exception as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RuntimeRefused(f"onnxruntime can't {doing} the exported model: {line[:500]}") from error


def _missing_kernel(text: str) -> str:
    """One sentence without the node's name, which has no place in a baseline."""
    found = re.search(r"implementation for (\w+\(\d+\))", text)
    return f"onnxruntime has no kernel for {found[1] if found else 'an operator'} at the types of this model"


def _to_ort(tensor: torch.Tensor) -> ort.OrtValue:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype is torch.bfloat16:  # numpy has no such type
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
            tensor.view(torch.int16).numpy().view("uint16"), TensorProto.BFLOAT16
        )
    return ort.OrtValue.ortvalue_from_numpy(tensor.numpy())


def _to_torch(value: ort.OrtValue) -> torch.Tensor:
    tensor: torch.Tensor = from_dlpack(value)
    return tensor.view(torch.bool) if value.data_type() == "tensor(bool)" else tensor
