"""A tagged graph and a graph made of it in; the second one's tags with evidence out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from pytest_htp.carry.anchors import anchor
from pytest_htp.carry.correspondence import Correspondence, Inserted, StandsFor
from pytest_htp.carry.operators import initializers, stored
from pytest_htp.carry.order import named_elsewhere
from pytest_htp.carry.passes import CarryPass, default_passes
from pytest_htp.carry.related import unrelated
from pytest_htp.tagging.computed import COMPUTED, computed_from_data
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts, NodeFacts
from pytest_htp.tagging.passes import DataFlowPass
from pytest_htp.tagging.tagger import Tagging

FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"
# Shapes, axes, indices and flags: part of the program whoever wrote them.
STRUCTURAL = (ir.DataType.INT64, ir.DataType.BOOL, ir.DataType.STRING)
NOTHING_KNOWN = "no name, value or weight of the graph before is near it"


def carry(
    before: Tagging,
    after: ir.Model,
    *,
    values: Mapping[str, str] | None = None,
    passes: Sequence[CarryPass] | None = None,
    may_differ: bool = False,
) -> Tagging:
    """The tags of ``before`` on ``after``, a graph that some tool made of it.

    ``direct``: a node stands for exactly one node, which is ``direct``; ``fused``: for several, or for one that is;
    ``inferred``: it was inserted, its original is ``inferred``, or the nodes around it determine its module; ``none``:
    nothing leads back, and the node's ``cause`` says why. ``stands_for`` are the keys of the originals.

    Args:
        before: the tagged graph.
        after: the graph that was made of it.
        values: value name in ``after`` → value name in ``before`` that was equal when both were run on the same
            input (:func:`pytest_htp.carry.values.equal_values`); None where nothing was run.
        passes: in order; None runs the default ones.
        may_differ: whether the tool may have had another version of the model, in which names went to other nodes
            (:mod:`pytest_htp.carry.order`).
    """
    known = before.graph
    graph = GraphFacts(
        after, known.modules, shared_parameters=known.shared_parameters, zero_biases=known.zero_biases
    )  # fmt: skip
    graph.merged_into = before.graph.merged_into
    graphs = Correspondence(before.graph, graph, values or {})
    anchor(graphs)
    if may_differ:
        graphs.renumbered.update(named_elsewhere(graphs))
    cause = unrelated(graphs)
    if cause is None:
        for carry_pass in default_passes() if passes is None else passes:
            carry_pass.run(graphs)
        _remember_parameters(graphs)
        for facts in graph.nodes:
            _conclude(graphs, facts)
        DataFlowPass().run(graph)
    for facts in graph.nodes:
        if facts.path is None:
            facts.evidence = Evidence.NONE
            facts.cause = facts.cause or cause or graphs.causes.get(facts.node, NOTHING_KNOWN)
    return Tagging(graph)


def _remember_parameters(graphs: Correspondence) -> None:
    """Let weights that were made of parameters lead to them, as the exporter's optimizer does for what it folds;
    mark what was computed from weights or values.
    """
    for value in initializers(graphs.after.model):
        original = graphs.values.get(value)
        is_data = original is None or original.const_value is None or computed_from_data(original)
        if value.dtype not in STRUCTURAL and is_data:
            value.meta[COMPUTED] = True
    for value, originals in (*graphs.weights.items(), *((v, (o,)) for v, o in graphs.values.items())):
        if value.is_initializer() and value.name not in graphs.after.shared_parameters:
            size = sum(original.const_value.size for original in originals if original.const_value is not None)
            if value.const_value is not None and value.const_value.size == size:
                names = {name for original in originals for name in graphs.before.parameter_names(original)}
                value.meta[FOLDED_FROM] = names


def _conclude(graphs: Correspondence, facts: NodeFacts) -> None:
    known = graphs.decided.get(facts.node)
    if isinstance(known, StandsFor):
        _stand_for(graphs, facts, known)
    elif isinstance(known, Inserted):
        helped = _helped(graphs, facts.node, known)
        path = _module_of(graphs, known, helped)
        if path is not None:
            maker = graphs.maker(known.value) if known.value is not None else None
            facts.decide(Evidence.INFERRED, path, known.rule, helped if maker is None else maker.origins)
        else:
            facts.cause = "what it converts has no module"


def _stand_for(graphs: Correspondence, facts: NodeFacts, known: StandsFor) -> None:
    facts.stands_for = tuple(original.key for original in known.nodes)
    facts.rewired = _rewired(graphs, facts, known)
    facts.replayed = all(map(graphs.before.is_replayed, known.nodes))
    tagged = [original for original in known.nodes if original.path is not None]
    if not tagged:
        facts.cause = "what it stands for had no module"
        return
    if len(known.nodes) == 1:
        original = known.nodes[0]
        assert original.path is not None
        facts.decide(original.evidence, original.path, known.rule, original.origins)
        facts.call = original.call
        return
    facts.ends = dict(_ends(graphs, facts, known))
    origins = {origin for original in tagged for origin in (original.origins or (original.path or "",))}
    owner = _weight_owner(graphs, facts, {original.path or "" for original in tagged})
    path = owner if owner is not None else graphs.before.deepest_common(original.path or "" for original in tagged)
    facts.decide(Evidence.FUSED, path, known.rule, origins)
    calls = {original.call for original in tagged}
    facts.call = calls.pop() if len(calls) == 1 else None


def _ends(
    graphs: Correspondence, facts: NodeFacts, known: StandsFor
) -> Iterator[tuple[ir.Value, tuple[NodeFacts, ...]]]:
    """Which of several nodes before read, or made, each value of the node that stands for them."""
    for values, side in ((facts.node.inputs, "inputs"), (facts.node.outputs, "outputs")):
        for value in values:
            before = graphs.values.get(value) if value is not None else None
            if value is None or before is None:
                continue
            originals = [original for original in known.nodes if before in getattr(original.node, side)]
            ends = [end for original in originals for end in original.ends.get(before, (original,))]
            if ends and not any(graphs.before.is_replayed(end) for end in ends):
                yield value, tuple(ends)


def _rewired(graphs: Correspondence, facts: NodeFacts, known: StandsFor) -> frozenset[ir.Value]:
    """Values that a node reads and its originals did not, also those that were not there: it was given them in place
    of others; and values in another layout: what an inserted transposition made, and what is made of nothing but values
    that replaced others, and was not seen to be equal to one before.
    """
    read = {value for original in known.nodes for value in original.node.inputs}
    data = {value for value in facts.node.inputs if value is not None and not value.is_initializer()}
    graphs.relaid.update(value for value in data if _is_turned(graphs, value))
    rewired = {value for value in data if value in graphs.relaid or graphs.values.get(value) not in read}
    if rewired and rewired == data:
        graphs.relaid.update(value for value in facts.node.outputs if value.name not in graphs.measured)
    return frozenset(rewired)


def _is_turned(graphs: Correspondence, value: ir.Value) -> bool:
    maker = value.producer()
    return maker is not None and maker.op_type == "Transpose" and isinstance(graphs.decided.get(maker), Inserted)


def _weight_owner(graphs: Correspondence, facts: NodeFacts, paths: set[str]) -> str | None:
    """The module, of those that a node was made of, that owns the largest weight it reads."""
    owned: dict[str, int] = {}
    for value in facts.node.inputs:
        for source in graphs.converted(value):
            owners = graphs.before.owners(source) & paths
            if len(owners) == 1 and source.const_value is not None:
                owner = owners.pop()
                owned[owner] = max(owned.get(owner, 0), source.const_value.size)
    largest = [owner for owner, size in owned.items() if size == max(owned.values())]
    return largest[0] if len(largest) == 1 else None


def _helped(graphs: Correspondence, node: ir.Node, known: Inserted) -> set[str]:
    """Modules of those nodes around an inserted one that read what it reads or made what it makes, else of all."""
    read = {graphs.values[value] for value in node.inputs if value in graphs.values and stored(value) is None}
    made = {graphs.values[value] for value in node.outputs if value in graphs.values}
    near = [
        each for each in known.around if not (read.isdisjoint(each.node.inputs) and made.isdisjoint(each.node.outputs))
    ]
    return {each.path for each in near or known.around if each.path is not None}


def _module_of(graphs: Correspondence, known: Inserted, helped: set[str]) -> str | None:
    """The module of what an inserted node converts, or the deepest one around those it helps."""
    before = graphs.before
    if known.value is not None:
        maker = graphs.maker(known.value)
        if maker is not None:
            if maker.path is not None:
                return maker.path
        elif known.value.is_graph_input() and not known.value.is_initializer():
            return ""
        else:
            owners = before.owners(known.value)
            if len(owners) == 1:
                return owners.pop()
            readers = {
                facts.path
                for node in known.value.consumers()
                if (facts := before.by_node.get(node)) is not None and facts.path is not None
            }
            if readers:
                return before.deepest_common(readers)
    return before.deepest_common(helped) if helped else None
