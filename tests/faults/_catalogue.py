"""The catalogue: for every finding code, faults as they happened upstream, injected into real exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Finding
from tests.faults import _changes as change
from tests.faults import _edits as edit
from tests.faults._exports import Edit, Export
from tests.faults._models import WIDTH, Experts, Folded, Net, Repeated, Through, TiedHead, bert, llama

Record = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One regression: the export before and after it, and the one finding that must come of it.

    Attributes:
        code: the finding's code.
        what: what goes wrong, in a few words; with the upstream report where there is one.
        module: the module that must be named (None: the graph as a whole).
        before, after: the exports.
        adjust: a last change of today's record, for what lies outside the model and its graph.
    """

    code: str
    what: str
    module: str | None
    before: Export
    after: Export
    adjust: Callable[[Record], object] | None = None


def states() -> tuple[torch.Tensor]:
    return (torch.linspace(-1, 1, 48).reshape(2, 4, 6),)


def wider() -> tuple[torch.Tensor]:
    return (torch.linspace(-1, 1, 60).reshape(2, 5, 6),)


def vector() -> tuple[torch.Tensor]:
    return (torch.linspace(-1, 1, 12).reshape(2, 6),)


def wide_vector() -> tuple[torch.Tensor]:
    return (torch.linspace(-1, 1, 2 * WIDTH).reshape(2, WIDTH),)


def tokens() -> tuple[torch.Tensor]:
    return (torch.arange(7),)


def int32_tokens() -> tuple[torch.Tensor]:
    return (torch.arange(7, dtype=torch.int32),)


def ids() -> Mapping[str, torch.Tensor]:
    return {
        "input_ids": torch.arange(12).reshape(2, 6),
        "attention_mask": torch.ones(2, 6, dtype=torch.int64),
    }


def ids_only() -> Mapping[str, torch.Tensor]:
    return {"input_ids": torch.arange(12).reshape(2, 6)}


def ids_and_types() -> Mapping[str, torch.Tensor]:
    return {**ids(), "token_type_ids": torch.zeros(2, 6, dtype=torch.int64)}


NET = Export(Net, states)
NAMED_AXES = replace(NET, options={"dynamic_shapes": {"x": {0: "batch", 1: "length"}}})
DYNAMIC = replace(NET, options={"dynamic": True})
CHECKED = replace(NET, options={"parity": True})
LENIENT = replace(NET, options={"parity": True, "rtol": 1.0, "atol": 1.0})
EXPERTS = Export(Experts, vector)
FOLDED = Export(Folded, states)
BERT = Export(bert, ids)
BERT_DYNAMIC = replace(BERT, options={"dynamic": True})
BERT_23 = replace(BERT, options={"opset_version": 23})


def eager_bert() -> nn.Module:
    return bert("eager")


def untied_llama() -> nn.Module:
    return llama(tied=False)


BERT_EAGER_23 = replace(BERT_23, make=eager_bert)
LLAMA = Export(llama, ids_only)


def edited(what: Edit, base: Export = NET) -> Export:
    return replace(base, edit=what)


def changed(what: Callable[[nn.Module], object], base: Export = NET) -> Export:
    return replace(base, change=what)


def graph_fault(code: str, what: str, module: str | None, how: Edit, base: Export = NET) -> Fault:
    """The exporter returns another graph for the same model."""
    return Fault(code, what, module, base, edited(how, base))


def model_fault(code: str, what: str, module: str | None, how: Callable[[Any], object], base: Export = NET) -> Fault:
    """The model's own code changed."""
    return Fault(code, what, module, base, changed(how, base))


FAULTS = (
    # the graph's contract
    Fault(
        "io.input_added",
        "BERT called with token_type_ids too",
        None,
        BERT,
        replace(BERT, inputs=ids_and_types),
    ),
    Fault("io.input_removed", "attention_mask lost", None, BERT, replace(BERT, inputs=ids_only)),
    model_fault("io.output_added", "forward returns one tensor more", None, change.third_output),
    model_fault("io.output_removed", "forward returns one tensor less", None, change.one_output),
    Fault(
        "io.renamed",
        "passthrough input gives its name to the output (pytorch#173076)",
        None,
        edited(lambda m: edit.rename(m.graph.inputs[0], "x"), Export(Through, vector)),
        Export(Through, vector),
    ),
    graph_fault(
        "io.renamed",
        "s0 instead of the user's axis name (pytorch#143443)",
        None,
        edit.lose_axis_names,
        NAMED_AXES,
    ),
    graph_fault(
        "io.reordered",
        "outputs labelled in another order (pytorch#165758)",
        None,
        edit.swap_output_names,
        BERT,
    ),
    graph_fault("io.reordered", "outputs come in another order (pytorch#188893)", None, edit.swap_outputs),
    graph_fault("io.dtype", "an output cast to another precision (pytorch#106298)", None, edit.double_output),
    Fault(
        "io.dtype",
        "token ids given as int32",
        None,
        Export(TiedHead, tokens),
        Export(TiedHead, int32_tokens),
    ),
    model_fault("io.rank", "a flattened output", None, change.flat_output),
    Fault("io.dim_fixed", "dynamic_shapes ignored (pytorch#149065)", None, DYNAMIC, NET),
    Fault(
        "io.dim_fixed",
        "size-1 axis specialised (pytorch#148629)",
        None,
        DYNAMIC,
        edited(edit.specialise_batch, DYNAMIC),
    ),
    Fault("io.dim_fixed", "BERT: dynamic axes ignored", None, BERT_DYNAMIC, BERT),
    Fault("io.dim_freed", "constant axes became dynamic", None, NET, DYNAMIC),
    Fault("io.dim_freed", "BERT: constant axes became dynamic", None, BERT, BERT_DYNAMIC),
    Fault("io.dim_changed", "another sequence length baked in", None, NET, replace(NET, inputs=wider)),
    graph_fault(
        "io.dim_symbol",
        "an output's axis lost its relation to the input's",
        None,
        edit.unrelated_axis,
        DYNAMIC,
    ),
    # operator sets
    Fault(
        "opset.changed",
        "asked opset not honoured (pytorch pull 161056)",
        None,
        replace(Export(Repeated, wide_vector), options={"opset_version": 20}),
        replace(Export(Repeated, wide_vector), options={"opset_version": 18}),
    ),
    graph_fault("domain.added", "a vendor's operator put in", "blocks.1.feed.act", edit.vendor_gelu),
    # weights
    graph_fault("weights.grown", "ones_like folded into a large constant (pytorch#75597)", "blocks.1", edit.fold_ones),
    graph_fault(
        "weights.duplicated",
        "a shared weight stored again for its second reader",
        "mix",
        edit.copy_weight,
        Export(Repeated, wide_vector),
    ),
    graph_fault(
        "weights.untied",
        "folding undoes tying (pytorch#108342)",
        "head",
        edit.fold_tied,
        Export(TiedHead, tokens),
    ),
    model_fault("weights.untied", "plain head no longer tied", "head", change.untie, Export(TiedHead, tokens)),
    Fault(
        "weights.untied",
        "Llama: tie_word_embeddings lost",
        "lm_head",
        LLAMA,
        replace(LLAMA, make=untied_llama),
    ),
    graph_fault("weights.dtype", "one layer's weight stored in half precision", "blocks.1.feed.up", edit.half_weight),
    # modules
    model_fault("module.added", "an adapter in one layer", "blocks.1.feed.adapter", change.adapter),
    model_fault("module.removed", "one layer fewer", "blocks.2", change.drop_layer),
    model_fault("module.removed", "one expert of a sum fewer", "experts.2", change.drop_expert, EXPERTS),
    model_fault("module.class_changed", "Tanh became Identity", "experts.1.1", change.identity, EXPERTS),
    model_fault("module.class_changed", "GELU became ReLU", "blocks.{0..2}.feed.act", change.relu),
    # operators
    model_fault("ops.changed", "mul and add in one layer", "blocks.1", change.mul_add),
    model_fault("ops.changed", "mul and add in a model of 504 bytes", "experts.1", change.scaled_expert, EXPERTS),
    model_fault("ops.changed", "another epsilon in one norm", "blocks.1.norm1", change.epsilon),
    graph_fault(
        "ops.changed",
        "IsNaN and Where after Softmax (pytorch pull 159973)",
        "blocks.{0..2}.attention.softmax",
        edit.guard_softmax,
    ),
    graph_fault(
        "ops.changed",
        "a sequence made and taken apart (onnxscript#2543)",
        "blocks.1.attention",
        edit.sequence,
    ),
    graph_fault("ops.changed", "a needless Reshape (pytorch#162061)", "blocks.1.attention", edit.one_reshape),
    graph_fault("ops.changed", "edge rewired: key and value exchanged", "blocks.1.attention", edit.exchange_inputs),
    model_fault("ops.changed", "1 + weight became weight, folded", "mix", change.no_offset, FOLDED),
    model_fault("ops.changed", "a weight's scale, folded", "mix", change.other_scale, FOLDED),
    model_fault("ops.changed", "softmax of a weight over its other axis, folded", "mix", change.other_axis, FOLDED),
    model_fault("ops.changed", "a square weight transposed, folded", "mix", change.transposed, FOLDED),
    model_fault("ops.changed", "a persistent causal mask one place later", "tables", change.later_mask, FOLDED),
    model_fault("ops.changed", "a table of sines interleaved", "tables", change.interleaved, FOLDED),
    model_fault("ops.changed", "epsilon of a batch norm, folded", "convolved.conv", change.batch_epsilon, FOLDED),
    model_fault("ops.changed", "a norm in eight groups of four", "convolved.groups", change.more_groups, FOLDED),
    model_fault("ops.changed", "BERT: mul and add in one layer", "encoder.layer.1", change.bert_mul_add, BERT),
    graph_fault("ops.exploded", "a chain of Reshapes (onnxruntime#19423)", "blocks.1.attention", edit.reshape_chain),
    model_fault("ops.exploded", "a loop over positions unrolled", "blocks.{0..2}.attention", change.unrolled),
    model_fault("ops.exploded", "one Tanh became thirty", "experts.1.1", change.repeated_tanh, EXPERTS),
    # fusions
    Fault(
        "fusion.lost",
        "attention no longer fused (onnxruntime#23864): sdpa to eager",
        "encoder.layer.{0..2}.attention.self",
        BERT_23,
        BERT_EAGER_23,
    ),
    model_fault("fusion.lost", "LayerNorm spelled out in one layer", "blocks.1.norm2", change.manual_norm),
    model_fault("fusion.lost", "Gelu spelled out", "blocks.{0..2}.feed.act", change.manual_gelu),
    Fault(
        "fusion.gained",
        "attention fused again",
        "encoder.layer.{0..2}.attention.self",
        BERT_EAGER_23,
        BERT_23,
    ),
    # control flow
    model_fault("controlflow.added", "If appears (lightly-train#783)", "blocks.1.feed", change.branch),
    # precision
    model_fault("dtype.internal", "float64 LayerNorm in one layer", "blocks.1.norm1", change.double_norm),
    graph_fault(
        "dtype.internal",
        "casts around div (pytorch#118941)",
        "blocks.{0..2}.attention",
        edit.casts_around_div,
    ),
    model_fault(
        "dtype.internal",
        "BERT: float64 LayerNorm in one layer",
        "encoder.layer.1.output.LayerNorm",
        change.bert_double_norm,
        BERT,
    ),
    # evidence
    graph_fault(
        "coverage.dropped",
        "metadata and names dropped by a rewrite (onnxscript#2637)",
        "",
        edit.forget_everything,
        BERT,
    ),
    graph_fault(
        "direct.dropped",
        "a rewrite drops one layer's metadata (onnxscript#2685)",
        "blocks.1.attention",
        edit.forget_layer,
    ),
    Fault("coverage.improved", "evidence recovered", None, edited(edit.forget_everything, BERT), BERT),
    graph_fault(
        "tags.moved",
        "a scope left out: nodes of a module recorded as its parent's",
        "blocks.{0..2}.feed.act",
        edit.scope_left_out,
    ),
    # values
    graph_fault(
        "parity.failed",
        "wrong numerics in one layer (pytorch#166797)",
        "blocks.1.feed.up",
        edit.scale_weight,
        CHECKED,
    ),
    graph_fault("parity.worse", "less exact, within tolerance", "blocks.1.feed.up", edit.scale_weight, LENIENT),
    graph_fault(
        "attestation.contradicted",
        "two layers recorded as each other",
        "blocks.{0,2}.attention.softmax",
        edit.exchange_records,
        CHECKED,
    ),
    # the toolchain
    Fault(
        "toolchain.changed",
        "another onnxscript",
        None,
        NET,
        NET,
        adjust=lambda r: r["toolchain"].update(onnxscript="0.8.0"),
    ),
)


def outcome(fault: Fault) -> tuple[Finding, ...]:
    """All findings between the two exports of a fault, worst first."""
    before, after = fault.before.record(), fault.after.record()
    if fault.adjust is not None:
        fault.adjust(after)
    return compare_exports(before, after).findings
