"""Step 6: tags for the graph that the exporter made, also where its own quantizer made it of another one."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
from torch import nn

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.capture.marks import clear_marks
from pytest_htp.capture.parameters import zero_biases
from pytest_htp.capture.provenance import Provenance
from pytest_htp.carry import carry
from pytest_htp.carry.types import complete_types
from pytest_htp.tagging.tagger import Tagging, tag_graph


def tagged(
    program: ir.Model,
    hierarchy: Hierarchy,
    provenance: Provenance,
    model: nn.Module,
    shared: Mapping[str, tuple[str, ...]],
) -> Tagging:
    """Tag ``program``; marks are gone afterwards.

    What a quantizer made of the exporter's graph is a graph made by a tool, as after a stage: that graph is tagged, and
    its tags are carried on.
    """
    first = provenance.unquantized or program
    tagging = tag_graph(
        first, hierarchy.modules, provenance, shared_parameters=shared, zero_biases=zero_biases(model)
    )  # fmt: skip
    clear_marks(first)
    if first is program:
        return tagging
    clear_marks(program)
    complete_types(program)
    return carry(tagging, program)
