"""Faults that only a stage shows: in the tool or its options, or a model's change that an optimizer stumbles over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from onnxruntime.quantization import QuantType
from torch import nn

from fixtures import config_dir
from pytest_htp.capture.models import resolve_model
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Finding
from pytest_htp.compare.verdicts import at_or_above
from tests.faults import _changes as change
from tests.faults import _spellings as spell
from tests.faults import _tools as tool
from tests.faults._catalogue import ids, ids_only, states, tokens
from tests.faults._models import Net, TiedHead, bert, llama
from tests.faults._spellings import Change
from tests.faults._staged import Staged, Tool


class Expected(NamedTuple):
    code: str
    module: str | None
    stage: str | None


@dataclass(frozen=True)
class StageFault:
    """One regression: the pipeline before and after it, and all findings at or above drift that must come of it.

    ``family`` is the model's. Findings without a stage are of the export, where the change shows in another way.
    """

    family: str
    what: str
    before: Staged
    after: Staged
    expected: tuple[Expected, ...]


def gpt2() -> nn.Module:
    return resolve_model(config_dir("gpt2")).module


def distilbert() -> nn.Module:
    return resolve_model(config_dir("distilbert")).module


def vit() -> nn.Module:
    return resolve_model(config_dir("vit")).module


def resnet() -> nn.Module:
    return resolve_model(config_dir("resnet")).module


def t5() -> nn.Module:
    return resolve_model(config_dir("t5")).module


NET = Staged(Net, states)
NET_DYNAMIC = replace(NET, options={"dynamic": True})
BERT = Staged(bert, ids)
LLAMA = Staged(llama, ids_only)
TIED = Staged(TiedHead, tokens)
GPT2, DISTILBERT, VIT, RESNET, T5 = map(Staged, (gpt2, distilbert, vit, resnet, t5))

OPTIMIZED = (("ort:extended", None),)


def by_tool(
    family: str,
    what: str,
    base: Staged,
    before: Tool | None,
    after: Tool,
    *expected: tuple[str, str | None],
    later: tuple[tuple[str, Tool | None], ...] = (),
) -> StageFault:
    """The export stays; the stage's tool, or its options, changed. ``later``: stages after it."""
    found = tuple(Expected(code, module, "tool") for code, module in expected)
    return StageFault(
        family, what, replace(base, tools=(("tool", before), *later)), replace(base, tools=(("tool", after), *later)),
        found,
    )  # fmt: skip


def by_model(
    family: str,
    what: str,
    base: Staged,
    how: Change,
    *expected: tuple[str, str | None, str | None],
    tools: tuple[tuple[str, Tool | None], ...] = OPTIMIZED,
    before: Change | None = None,
) -> StageFault:
    """The model's code changed; stages are the same. ``before``: a change that both sides have."""
    base = replace(base, tools=tools)
    return StageFault(
        family, what, replace(base, change=before),
        replace(base, change=how if before is None else spell.both(before, how)),
        tuple(Expected(*each) for each in expected),
    )  # fmt: skip


ORT = "ort:extended"
BERT_LAYER = ("attention.output.dense", "attention.self.key", "attention.self.query", "attention.self.value",
              "intermediate.dense", "output.dense")  # fmt: skip
NET_LINEAR = (
    *(f"blocks.{{0..2}}.attention.{name}" for name in ("key", "output", "query", "value")),
    "blocks.{0..2}.feed.down", "blocks.{0..2}.feed.up", "embed", "head", "side",
)  # fmt: skip
RESNET_CONVOLUTIONS = (
    "resnet.embedder.embedder.convolution", "resnet.encoder.stages.1.layers.0.shortcut.convolution",
    "resnet.encoder.stages.{0..1}.layers.{0..1}.layer.{0..1}.convolution",
)  # fmt: skip
RESNET_CONVOLUTIONS_APART = (
    *RESNET_CONVOLUTIONS[:2],
    *(f"resnet.encoder.stages.{{0..1}}.layers.{{0..1}}.layer.{number}.convolution" for number in (0, 1)),
)
UNCHANGED = tool.edited(tool.unchanged)
SPELLED_GELU = spell.activation(spell.gelu(2**0.5))
TANH_GELU = spell.activation(spell.tanh_gelu(0.044715))
SPELLED_NORM = spell.normalization(spell.norm)

STAGE_FAULTS = (
    # fusions lost to the model's code
    by_model("BERT", "a cast before one LayerNorm", BERT, spell.bert_cast,
        ("fusion.lost", "encoder.layer.1.output.LayerNorm", ORT), ("dtype.internal", "encoder.layer.1.output", None)),
    by_model("BERT", "a Relu between sum and LayerNorm", BERT, spell.bert_scaled_residual,
        ("fusion.lost", "encoder.layer.1.attention.output.LayerNorm", ORT),
        ("ops.changed", "encoder.layer.1.attention.output", None)),
    by_model("BERT", "a bias added in double precision", BERT, spell.bert_late_bias,
        ("dtype.internal", "encoder.layer.1.intermediate.dense", None)),
    by_model("GPT-2", "GELU's constant cut short in one layer", GPT2, spell.gpt2_gelu,
        ("fusion.lost", "transformer.h.1.mlp.act", ORT), ("ops.changed", "transformer.h.1.mlp.act", None)),
    by_model("ViT", "a cast before one LayerNorm", VIT, spell.vit_cast,
        ("fusion.lost", "vit.layernorm", ORT), ("dtype.internal", "vit.layernorm", None)),
    by_model("ResNet", "softplus in place of Relu in one block", RESNET, spell.resnet_clamp,
        ("fusion.lost", "resnet.encoder.stages.0.layers.0.layer.0.convolution", ORT),
        ("ops.changed", "resnet.encoder.stages.0.layers.0.layer.0.activation", None)),
    by_model("ResNet", "a cast between convolution and Relu", RESNET, spell.resnet_cast,
        ("fusion.lost", "resnet.encoder.stages.0.layers.0.layer.0.convolution", ORT),
        ("dtype.internal", "resnet.encoder.stages.0.layers.0.layer.0.activation", None)),
    by_model("plain", "GELU by erf, its constant cut short in one layer", NET,
        spell.activation(spell.gelu(1.41), 1),
        ("fusion.lost", "blocks.1.feed.act", ORT), ("ops.changed", "blocks.1.feed.act", None), before=SPELLED_GELU),
    by_model("plain", "GELU by tanh, its constant cut short in one layer", NET,
        spell.activation(spell.tanh_gelu(0.0447), 1),
        ("fusion.lost", "blocks.1.feed.act", ORT), ("ops.changed", "blocks.1.feed.act", None), before=TANH_GELU),
    by_model("plain", "GELU by erf becomes GELU by tanh", NET,
        spell.activation(spell.tanh_gelu(0.044715), 1),
        ("ops.changed", "blocks.1.feed.act", None), before=SPELLED_GELU),
    by_model("plain", "GELU becomes SiLU in one layer", NET, spell.silu(1),
        ("module.class_changed", "blocks.1.feed.act", None), ("fusion.lost", "blocks.1.feed.act", None)),
    by_model("plain", "quick GELU with its factor as a sum", NET,
        spell.activation(spell.quick_gelu_of_halves, 1),
        ("fusion.lost", "blocks.1.feed.act", ORT), ("ops.changed", "blocks.1.feed.act", None),
        before=spell.activation(spell.quick_gelu)),
    by_model("plain", "LayerNorm's epsilon added to the deviation in one layer", NET,
        spell.normalization(spell.norm_eps_outside, 1),
        ("fusion.lost", "blocks.1.norm2", ORT), ("ops.changed", "blocks.1.norm2", None), before=SPELLED_NORM),
    by_model("plain", "LayerNorm with a square for the power in one layer", NET,
        spell.normalization(spell.norm_by_square, 1),
        ("fusion.lost", "blocks.1.norm2", ORT), ("ops.changed", "blocks.1.norm2", None), before=SPELLED_NORM),
    by_model("plain", "LayerNorm's variance clamped in place of an epsilon", NET,
        spell.normalization(spell.norm_clamped, 1),
        ("fusion.lost", "blocks.1.norm2", ORT), ("ops.changed", "blocks.1.norm2", None), before=SPELLED_NORM),
    by_model("plain", "LayerNorm spelled out in one layer, which the optimizer mends", NET,
        spell.normalization(spell.norm, 1), ("fusion.lost", "blocks.1.norm2", None)),
    by_model("plain", "LayerNorm spelled out in a way that no optimizer mends", NET,
        spell.normalization(spell.norm_clamped, 1), ("fusion.lost", "blocks.1.norm2", None)),
    # fusions lost to the optimizer's options
    by_tool("BERT", "SkipLayerNorm fusion switched off", BERT, tool.optimizer(),
        tool.optimizer("SkipLayerNormFusion"), ("fusion.lost", "encoder.layer.{0..2}.attention.output.LayerNorm"),
        ("fusion.lost", "encoder.layer.{0..2}.output.LayerNorm")),
    by_tool("DistilBERT", "the level lowered to basic", DISTILBERT, tool.optimizer(),
        tool.optimizer(level="BASIC"),
        ("fusion.lost", "distilbert.transformer.layer.{0..1}.attention"),
        ("fusion.lost", "distilbert.transformer.layer.{0..1}.output_layer_norm"),
        ("fusion.lost", "distilbert.transformer.layer.{0..1}.sa_layer_norm"), ("fusion.lost", "pre_classifier"),
        *[("ops.changed", f"distilbert.transformer.layer.{{0..1}}.attention.{name}_lin")
          for name in ("k", "out", "q", "v")]),
    by_tool("GPT-2", "FastGelu fusion switched off", GPT2, tool.optimizer(),
        tool.optimizer("FastGeluFusion"), ("fusion.lost", "transformer.h.{0..1}.mlp.act")),
    by_tool("ResNet", "activations no longer fused", RESNET, tool.optimizer(),
        tool.optimizer("ConvActivationFusion"), ("fusion.lost", "resnet.embedder.embedder.convolution"),
        ("fusion.lost", "resnet.encoder.stages.{0..1}.layers.{0..1}.layer.0.convolution")),
    by_tool("ViT", "scales no longer fused into products", VIT, tool.optimizer(),
        tool.optimizer("MatMulScaleFusion", "MatMulTransposeFusion"), ("fusion.lost", "vit.layers.{0..1}.attention")),
    by_tool("Llama", "QuickGelu fusion switched off", LLAMA, tool.optimizer(),
        tool.optimizer("QuickGeluFusion"), ("fusion.lost", "model.layers.{0..2}.mlp.act_fn")),
    # quantization
    by_tool("plain", "dynamic: one layer left in float", NET, tool.dynamic(),
        tool.dynamic(exclude=["blocks.1.feed.up"]), ("quantization.lost", "blocks.1.feed.up")),
    by_tool("plain", "dynamic: the head left in float", NET, tool.dynamic(),
        tool.dynamic(exclude=["head"]), ("quantization.lost", "head")),
    by_tool("BERT", "dynamic: MatMul excluded, Gather stays", BERT, tool.dynamic(),
        tool.dynamic(op_types_to_quantize=["Gather"]), ("quantization.lost", "pooler.dense"),
        *[("quantization.lost", f"encoder.layer.{{0..2}}.{name}") for name in BERT_LAYER]),
    by_tool("BERT", "dynamic: embeddings excluded", BERT, tool.dynamic(),
        tool.dynamic(op_types_to_quantize=["MatMul", "Attention"]),
        ("quantization.lost", "embeddings.word_embeddings")),
    by_tool("ViT", "dynamic: one layer's attention left in float", VIT, tool.dynamic(),
        tool.dynamic(exclude=[f"vit.layers.1.attention.{name}_proj" for name in "qkvo"]),
        *[("quantization.lost", f"vit.layers.1.attention.{name}_proj") for name in "qkvo"]),
    by_tool("plain", "static: one layer left in float", NET, tool.static(),
        tool.static(exclude=["blocks.1.feed.up"]), ("quantization.lost", "blocks.1.feed.up")),
    by_tool("plain", "static: a block left in float", NET, tool.static(),
        tool.static(exclude=tool.modules_with([1], "feed.up", "feed.down", "feed.act")),
        ("quantization.lost", "blocks.1.feed.up"), ("quantization.lost", "blocks.1.feed.down")),
    by_tool("ResNet", "static: per tensor in place of per channel", RESNET, tool.static(per_channel=True),
        tool.static(), ("quality.worse", "resnet.pooler"),
        *[("ops.changed", module) for module in ("classifier.1", *RESNET_CONVOLUTIONS)]),
    by_tool("ResNet", "static: Conv excluded", RESNET, tool.static(),
        tool.static(op_types_to_quantize=tool.static_types("Conv")),
        *[("quantization.lost", module) for module in RESNET_CONVOLUTIONS_APART]),
    by_tool("ResNet", "static: one convolution left in float", RESNET, tool.static(),
        tool.static(exclude=["resnet.encoder.stages.1.layers.0.layer.1.convolution"]),
        ("quantization.lost", "resnet.encoder.stages.1.layers.0.layer.1.convolution")),
    by_tool("plain", "static: LayerNormalization excluded", NET, tool.static(),
        tool.static(op_types_to_quantize=tool.static_types("LayerNormalization")),
        ("quantization.lost", "blocks.{0..2}.norm1"), ("quantization.lost", "blocks.{0..2}.norm2")),
    by_tool("plain", "static: Add excluded", NET, tool.static(),
        tool.static(op_types_to_quantize=tool.static_types("Add")),
        *[("quantization.lost", module) for module in (*NET_LINEAR, "blocks.{0..2}")]),
    by_tool("plain", "static: calibrated on a hundredth of the range", NET, tool.static(), tool.static(0.01),
        ("quality.worse", "embed")),
    by_tool("plain", "static: activations of 16 bits", NET, tool.static(),
        tool.static(activation_type=QuantType.QUInt16), ("opset.changed", None),
        *[("weights.dtype", module) for module in NET_LINEAR if module not in ("head", "side")],
        ("dtype.internal", "blocks.{0..2}.norm1"), ("dtype.internal", "blocks.{0..2}.norm2")),
    by_tool("plain", "static: signed weights", NET, tool.static(),
        tool.static(weight_type=QuantType.QInt8),
        *[("weights.dtype", module) for module in (*NET_LINEAR, "blocks.{0..2}.norm1", "blocks.{0..2}.norm2")]),
    by_tool("DistilBERT", "static: one layer newly in float", DISTILBERT, tool.static(),
        tool.static(exclude=["distilbert.transformer.layer.1.ffn.lin1"]),
        ("quantization.lost", "distilbert.transformer.layer.1.ffn.lin1")),
    by_tool("ViT", "static: one layer newly in float", VIT, tool.static(),
        tool.static(exclude=["vit.layers.1.mlp.fc1"]), ("quantization.lost", "vit.layers.1.mlp.fc1")),
    # half precision
    by_tool("plain", "half precision: one layer left in float", NET, tool.half(),
        tool.half(exclude=["blocks.1.feed.up"]), ("dtype.internal", "blocks.1.feed.up")),
    by_tool("BERT", "half precision: LayerNormalization left in float", BERT, tool.half(),
        tool.half(op_block_list=["LayerNormalization"]), ("dtype.internal", "embeddings.LayerNorm"),
        ("dtype.internal", "encoder.layer.{0..1}.output.LayerNorm"),
        ("dtype.internal", "encoder.layer.{0..2}.attention.output.LayerNorm"),
        ("weights.dtype", "encoder.layer.2.output.LayerNorm")),
    by_tool("Llama", "half precision: Softmax left in float", LLAMA, tool.half(),
        tool.half(op_block_list=["Softmax"]), ("dtype.internal", "model.layers.{0..2}.self_attn")),
    by_tool("plain", "half precision: inputs and outputs too", NET, tool.half(),
        tool.half(keep_io_types=False), ("io.dtype", None)),
    # the contract of a stage's file
    by_tool("plain", "a tool raises the opset", NET, UNCHANGED, tool.edited(tool.opset(21)),
        ("opset.changed", None)),
    by_tool("plain", "a tool fixes a symbolic axis", NET_DYNAMIC, UNCHANGED, tool.edited(tool.fix_axes(first=2)),
        ("io.dim_fixed", None)),
    by_tool("plain", "a tool drops an output", NET, UNCHANGED, tool.edited(tool.drop_last_output),
        ("io.output_removed", None)),
    by_tool("plain", "a tool exchanges the outputs", NET, UNCHANGED, tool.edited(tool.swap_outputs),
        ("io.reordered", None)),
    by_tool("BERT", "a tool renames an output", BERT, UNCHANGED, tool.edited(tool.rename_output),
        ("io.renamed", None)),
    # weights and operators
    by_tool("plain", "a tool leaves weights behind", NET, UNCHANGED,
        tool.edited(tool.leave_weights_behind("blocks.1.feed.down")),
        ("weights.duplicated", "blocks.1.feed.down")),
    by_tool("tied head", "a tool unties the head", TIED, UNCHANGED, tool.edited(tool.untie_head),
        ("weights.untied", "head")),
    by_tool("plain", "a tool stores one weight in half precision", NET, UNCHANGED,
        tool.edited(tool.half_weight("blocks.1.feed.up")), ("weights.dtype", "blocks.1.feed.up"),
        ("quality.worse", "blocks.1.feed.up")),
    by_tool("plain", "a tool puts casts in one layer", NET, UNCHANGED,
        tool.edited(tool.cast_behind("blocks.1.feed.up", "Add")), ("dtype.internal", "blocks.1.feed.up")),
    by_tool("BERT", "a tool puts casts before one LayerNorm, then the optimizer", BERT, tool.optimizer(),
        tool.then(tool.edited(tool.cast_behind("encoder.layer.1.output", "Add")), tool.optimizer()),
        ("fusion.lost", "encoder.layer.1.output.LayerNorm")),
    by_tool("plain", "a vendor's operator put in", NET, UNCHANGED,
        tool.edited(tool.vendor_operator("blocks.1.feed.act", "Gelu")),
        ("domain.added", "blocks.1.feed.act")),
    by_tool("plain", "an If put around a value", NET, UNCHANGED,
        tool.edited(tool.branch("blocks.1.feed.act", "Gelu")), ("controlflow.added", "blocks.1.feed.act")),
    by_tool("plain", "another activation in one layer", NET, UNCHANGED,
        tool.edited(tool.swap_operator("blocks.1.feed.act", "Gelu", "Tanh")), ("fusion.lost", "blocks.1.feed.act"),
        ("parity.failed", "blocks.1.feed.act")),
    by_tool("plain", "a needless operator in one layer", NET, UNCHANGED,
        tool.edited(tool.operator_behind("blocks.1.attention", "Div", "Identity")),
        ("ops.changed", "blocks.1.attention")),
    by_tool("plain", "two layers read each other's weight", NET, UNCHANGED,
        tool.edited(tool.exchanged_weights("blocks.0.feed.up", "blocks.1.feed.up")),
        ("parity.failed", "blocks.0.feed.up"), ("ops.changed", "blocks.0.feed.up"),
        ("ops.changed", "blocks.1.feed.up")),
    # several stages: told where it happened, and once
    by_tool("plain", "static with one layer in float, then optimized", NET, tool.static(),
        tool.static(exclude=["blocks.1.feed.up"]), ("quantization.lost", "blocks.1.feed.up"), later=OPTIMIZED),
    by_tool("plain", "half precision with one layer in float, then optimized", NET, tool.half(),
        tool.half(exclude=["blocks.1.feed.up"]), ("dtype.internal", "blocks.1.feed.up"), later=OPTIMIZED),
    by_tool("plain", "a needless operator that the optimizer takes out again", NET, UNCHANGED,
        tool.edited(tool.operator_behind("blocks.1.attention", "Div", "Identity")),
        ("ops.changed", "blocks.1.attention"), later=OPTIMIZED),
    by_tool("BERT", "optimized with a fusion switched off, then quantized", BERT, tool.optimizer(),
        tool.optimizer("SkipLayerNormFusion"), ("fusion.lost", "encoder.layer.{0..2}.attention.output.LayerNorm"),
        ("fusion.lost", "encoder.layer.{0..2}.output.LayerNorm"), later=(("int8:dynamic", None),)),
    # the model's change, through quantization: told of the export, and no more than that
    by_model("plain", "GELU becomes SiLU in one layer: static", NET, spell.silu(1),
        ("module.class_changed", "blocks.1.feed.act", None), ("fusion.lost", "blocks.1.feed.act", None),
        tools=(("int8:qdq", None), ("ort:extended", None))),
    by_model("plain", "GELU becomes SiLU in one layer: dynamic", NET, spell.silu(1),
        ("module.class_changed", "blocks.1.feed.act", None), ("fusion.lost", "blocks.1.feed.act", None),
        tools=(("int8:dynamic", None), ("ort:extended", None))),
    by_model("plain", "GELU becomes SiLU in one layer: half precision", NET, spell.silu(1),
        ("module.class_changed", "blocks.1.feed.act", None), ("fusion.lost", "blocks.1.feed.act", None),
        tools=(("fp16", None), ("ort:extended", None))),
    by_model("BERT", "a Relu between sum and LayerNorm: static", BERT, spell.bert_scaled_residual,
        ("ops.changed", "encoder.layer.1.attention.output", None), tools=(("int8:qdq", None),)),
    by_model("plain", "one layer fewer: all stages", NET, change.drop_layer,
        ("module.removed", "blocks.2", None),
        tools=(("int8:qdq", None), ("ort:extended", None))),
)  # fmt: skip

# Tools that change nothing that counts.
HARMLESS = {
    "other names, no metadata": tool.rename_everything,
    "another order of nodes": tool.reorder_nodes,
}


def outcome(fault: StageFault, *, anew: bool = False) -> tuple[Finding, ...]:
    """All findings between the two sides of a fault, worst first."""
    return compare_exports(fault.before.record(anew=anew), fault.after.record(anew=anew)).findings


def severe(findings: tuple[Finding, ...]) -> set[Expected]:
    told = [finding for finding in findings if at_or_above(finding.verdict, "drift")]
    return {Expected(finding.code, finding.module, finding.stage) for finding in told}
