"""Parameters and initializers as the record describes them: counts, bytes, owners, ties and duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import onnx_ir as ir

from pytest_htp.describe.operands import table
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.record import DuplicateRow, StoredTensors, TableRow
from pytest_htp.tagging.facts import GraphFacts

# Smaller tensors (axes, scales, zero biases) repeat by nature; a larger one is weight stored twice.
_DUPLICATE_BYTES = 1024
_SAMPLES = 64  # choose what is compared in full, and decide nothing
_Stored = tuple[ir.Value, ir.TensorProtocol]

TAKE_A_BIAS = frozenset({"Conv", "ConvTranspose", "Gemm"})  # as an optional third input


def initializers(graph: GraphFacts) -> Iterator[_Stored]:
    """Every initializer of the main graph and its bodies that has a value, and the value."""
    for part in graph.graphs:
        for value in part.initializers.values():
            if value.const_value is not None:
                yield value, value.const_value


@dataclass(frozen=True)
class LeftOut:
    """A bias of zeros: the module it counts for, and the element type and bytes that it would have.

    ``own`` says that it is that module's parameter, and not folded of one that its operator was joined with.
    """

    name: str
    owner: str
    dtype: str
    nbytes: int
    own: bool


def left_out_biases(graph: GraphFacts) -> dict[ir.Node, LeftOut]:
    """Biases that hold zeros and that optimization took from an operator, by that node: its module's own, or those of a
    batch norm that was folded into it. What values of weights do to a graph is no difference.
    """
    if not graph.zero_biases:
        return {}
    left_out = {}
    stored = {name for value, _ in initializers(graph) for name in graph.parameter_names(value)}
    for facts in graph.nodes:
        node, weight = facts.node, facts.node.inputs[1] if len(facts.node.inputs) > 1 else None
        if node.op_type not in TAKE_A_BIAS or any(node.inputs[2:3]) or weight is None or weight.dtype is None:
            continue
        for path in (facts.path, *facts.origins):
            name = f"{path}.bias" if path else "bias"
            if name in graph.zero_biases and name not in stored:
                nbytes = round(graph.zero_biases[name] * weight.dtype.itemsize)
                left_out[node] = LeftOut(name, facts.path or "", weight.dtype.name, nbytes, path == facts.path)
                break
    return left_out


def describe_initializers(graph: GraphFacts) -> StoredTensors:
    """What the graph stores.

    Parameters that deduplication merged because their values happened to be equal, and biases left out because they
    are zeros, count as if they were stored, so that the numbers don't depend on weight values.
    """
    count: Counter[str] = Counter()
    size = 0
    for value, tensor in initializers(graph):
        times = len(_tensors(graph, value))
        count[tensor.dtype.name] += times
        size += times * int(tensor.nbytes)
    for bias in set(left_out_biases(graph).values()):
        count[bias.dtype] += 1
        size += bias.nbytes
    return StoredTensors(count=sum(count.values()), bytes=size, dtypes=dict(sorted(count.items())))


def _tensors(graph: GraphFacts, value: ir.Value) -> dict[tuple[str, ...], None]:
    """The distinct tensors that an initializer stands for, each as all its names.

    They are the one it was made for, and parameters merged into it. Tied names are one tensor.
    """
    shared = graph.shared_parameters
    merged = [name for name in graph.merged_into.get(value.name or "", ()) if name in shared]
    return dict.fromkeys(shared.get(name, (name,)) for name in (value.name or "", *merged))


def weights_by_module(graph: GraphFacts) -> dict[str, dict[str, int]]:
    """Module path → element type → bytes of the initializers it owns.

    A parameter belongs to the module that registered it (a tied one to its first name's), a constant to the
    deepest module common to the nodes that read it.
    """
    owned: dict[str, dict[str, int]] = {}
    for value, tensor in initializers(graph):
        for owner in _owners(graph, value):
            sizes = owned.setdefault(owner, {})
            sizes[tensor.dtype.name] = sizes.get(tensor.dtype.name, 0) + int(tensor.nbytes)
    for bias in set(left_out_biases(graph).values()):
        sizes = owned.setdefault(bias.owner, {})
        sizes[bias.dtype] = sizes.get(bias.dtype, 0) + bias.nbytes
    return owned


def _owners(graph: GraphFacts, value: ir.Value) -> list[str]:
    owners = [
        owner
        for names in _tensors(graph, value)
        if names[0] in graph.shared_parameters and (owner := graph.owner_of(names[0])) is not None
    ]
    if owners:
        return owners
    folded = graph.owners(value)
    if len(folded) == 1:
        return [folded.pop()]
    readers = {
        facts.path
        for use in value.uses()
        if (facts := graph.by_node.get(use.node)) is not None and facts.path is not None
    }
    return [graph.deepest_common(readers)] if readers else []


def ties(graph: GraphFacts) -> tuple[list[list[str]], list[list[str]]]:
    """Names of parameters that share one tensor in the model.

    Second, those of these groups that the graph stores more than once all the same (a head's transposed copy, folded
    at export).
    """
    groups = {names for names in graph.shared_parameters.values() if len(names) > 1}
    stored: Counter[tuple[str, ...]] = Counter()
    for value, _ in initializers(graph):
        for names in {graph.shared_parameters[name] for name in graph.parameter_names(value)}:
            stored[names] += 1
    tied = sorted(list(names) for names in groups)
    return tied, [names for names in tied if stored[tuple(names)] > 1]


def describe_tables(graph: GraphFacts, tables: Mapping[str, ir.TensorProtocol]) -> list[TableRow]:
    """Of the buffers that code fills (by name), those that the graph reads or has folded; alike ones of repeated layers
    in one row.
    """
    read = {name for value, _ in initializers(graph) for name in graph.parameter_names(value)} if tables else set()
    names: dict[str, list[str]] = {}
    for name in sorted(read & tables.keys()):
        names.setdefault(table(tables[name]), []).append(name)
    return [TableRow(name=pattern, holds=holds) for holds, alike in names.items() for pattern in fold_paths(alike)]


def duplicates(graph: GraphFacts) -> list[DuplicateRow]:
    """Initializers that hold the same bytes; a copy that the exporter made counts, but has no name here.

    Candidates share element type, shape and 64 sampled elements; only those are compared in full.
    """
    groups = [[each for each in initializers(graph) if each[1].nbytes >= _DUPLICATE_BYTES]]
    for look in (_kind, _sample, _content):
        groups = [part for group in groups for part in _alike(group, look)]
    rows = []
    for group in groups:
        tensor = group[0][1]
        array = tensor.numpy()
        if bool((array.flat[0] == array).all()):
            continue  # a constant fill (ones, zeros) is equal by default initialisation, not by duplication
        names = sorted(min(names) for value, _ in group if (names := graph.parameter_names(value)))
        rows.append(DuplicateRow(names=names, copies=len(group), bytes=int(tensor.nbytes)))
    return sorted(rows, key=lambda row: (row.names, row.bytes, row.copies))


def _alike(stored: list[_Stored], look: Callable[[ir.TensorProtocol], Hashable]) -> list[list[_Stored]]:
    """Those that look like another one, by what they look like."""
    groups: dict[Hashable, list[_Stored]] = {}
    for each in stored if len(stored) > 1 else ():
        groups.setdefault(look(each[1]), []).append(each)
    return [group for group in groups.values() if len(group) > 1]


def _kind(tensor: ir.TensorProtocol) -> Hashable:
    return tensor.dtype, tuple(tensor.shape)


def _sample(tensor: ir.TensorProtocol) -> bytes:
    array = tensor.numpy()
    # By coordinates: flattening a transposed weight would copy it.
    index = np.arange(0, array.size, max(1, array.size // _SAMPLES))
    return array[np.unravel_index(index, array.shape)].tobytes()


def _content(tensor: ir.TensorProtocol) -> bytes:
    return sha256(np.ascontiguousarray(tensor.numpy()).view(np.uint8).data).digest()


def describe_parameters(parameters: Mapping[str, tuple[str, int, int]]) -> StoredTensors:
    """The model's own parameters, each tensor once.

    Args:
        parameters: name → (element type name, elements, bytes per element).
    """
    dtypes = Counter(dtype for dtype, _, _ in parameters.values())
    return StoredTensors(
        count=len(parameters),
        bytes=sum(elements * width for _, elements, width in parameters.values()),
        dtypes=dict(sorted(dtypes.items())),
    )
