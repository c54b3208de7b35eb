"""The record of a file: what a baseline of the same graph would hold, as far as a file can say."""

from __future__ import annotations

import onnx_ir as ir
from msgspec.structs import replace

from pytest_htp.describe.build import build_record, describe_graph
from pytest_htp.describe.weights import initializers
from pytest_htp.files.load import OnnxFile
from pytest_htp.files.values import FEWEST, Weight, duplicates
from pytest_htp.format.record import DuplicateRow, ModelRow, Record
from pytest_htp.tagging.facts import GraphFacts
from pytest_htp.tagging.tagger import Tagging


def weights_of(file: OnnxFile, graph: GraphFacts) -> list[Weight]:
    """The initializers of a file with the modules they belong to; small constants, which belong to nobody, left out."""
    missing = set(file.missing)
    found = []
    for value, tensor in initializers(graph):
        if value.name in graph.shared_parameters or tensor.size >= FEWEST:
            found.append(Weight(value.name or "", tensor, _owner(graph, value), value.name in missing))
    return found


def _owner(graph: GraphFacts, value: ir.Value) -> str | None:
    if value.name in graph.shared_parameters:
        return graph.owner_of(value.name or "")
    readers = [graph.by_node[use.node].path for use in value.uses() if use.node in graph.by_node]
    known = {path for path in readers if path is not None}
    return graph.deepest_common(known) if known else None


def describe_file(file: OnnxFile, tagging: Tagging, weights: list[Weight], *, named_outputs: bool = True) -> Record:
    """The record of a file whose nodes have their modules. Parity and attestation are not measured.

    ``weights`` are those of :func:`weights_of`, whose bytes are read for duplicates unless some are missing;
    ``named_outputs`` False: the exporter made the outputs' names up.
    """
    graph, model = tagging.graph, file.model
    # Their values are compared as weights are, by content, and never loaded whole.
    graph.unnamed_weights = frozenset(weight.name for weight in weights)
    named = [weight for weight in weights if weight.name in graph.shared_parameters]
    described = describe_graph(
        tagging,
        parameters={w.name: (w.tensor.dtype.name, w.size, int(w.tensor.dtype.itemsize)) for w in named},
        real_weights=False,  # or it would map every weight into memory
        named_outputs=named_outputs,
        fingerprints=False,
    )
    if not file.missing:
        rows = [DuplicateRow(names=names, bytes=size, copies=copies) for names, size, copies in duplicates(weights)]
        described = replace(described, weights=replace(described.weights, kept=True, duplicates=rows))
    producer = model.producer_name or "unknown producer"
    model_row = ModelRow(class_name=graph.modules[""].class_name, modules=len(graph.modules))
    version = (model.producer_version or "").partition("+")[0]
    return build_record(described, model_row, {producer: version} if version else {})
