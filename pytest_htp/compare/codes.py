"""Every finding code: its default verdict, what it means, an example, and who can cause it.

The first ones in the order of docs/reference/codes.md, by which findings are sorted; ``EXTENSIONS`` are reported beside
them, never instead of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of finding.

    Attributes:
        code: its name in reports and in ``htp_policy``.
        verdict: default verdict.
        definition: when it is reported.
        example: one message as a user sees it.
        cause: ``exporter`` where another toolchain can produce it from the same model; ``model`` where only the
            model's code can (which transformers provides for its own models).
    """

    code: str
    verdict: str
    definition: str
    example: str
    cause: str = "exporter"


_CONTRACT = (
    Code("io.input_added", "breaking",
         "The graph has an input that the baseline lacks.",
         "new input token_type_ids"),
    Code("io.input_removed", "breaking", "A graph input is gone.", "input attention_mask is gone"),
    Code("io.output_added", "breaking",
         "The graph has an output that the baseline lacks.",
         "new output pooler_output"),
    Code("io.output_removed", "breaking", "A graph output is gone.", "output pooler_output is gone"),
    Code("io.renamed", "breaking",
         "An input or output at the same place, of the same type and rank, has another name, or an axis "
         "lost the name its user gave it. Names that torch makes up for nameless outputs don't count.",
         "output logits is now called output_0"),
    Code("io.reordered", "breaking",
         "The same names come in another order, or outputs keep their names but are now each other's "
         "values.",
         "outputs a, b are now b, a"),
    Code("io.dtype", "breaking",
         "An input's or output's element type changed.",
         "output logits: FLOAT -> DOUBLE"),
    Code("io.rank", "breaking",
         "An input or output has another number of axes.",
         "output logits: 2 -> 3 axes"),
    Code("io.dim_fixed", "breaking", "A dynamic axis became a constant.", "input input_ids axis 0: d0 -> 2"),
    Code("io.dim_freed", "drift", "A constant axis became dynamic.", "input input_ids axis 0: 2 -> d0"),
    Code("opset.changed", "breaking", "The version of the default operator set changed.", "opset 18 -> 20"),
    Code("domain.added", "breaking",
         "The graph uses an operator domain that the baseline doesn't.",
         "new operator domain com.microsoft"),
    Code("weights.grown", "regression",
         "Bytes of initializers grew by more than 1%, beyond what other findings account for (untied or "
         "duplicated weights, added modules, another dtype, up to 16 elements of constants in a module whose "
         "operators changed).",
         "initializers 2.1 GB -> 3.0 GB"),
    Code("weights.duplicated", "regression",
         "The same bytes are stored more often than in the baseline, under parameters' names or as copies that "
         "the exporter made.",
         "4.1 kB stored twice: a.weight, b.weight"),
    Code("weights.untied", "regression",
         "Parameters that were one tensor no longer are: the model doesn't share them any more, or the graph "
         "stores them more than once where it stored them once.",
         "lm_head.weight and wte.weight are no longer shared"),
    Code("weights.dtype", "breaking",
         "A module's parameters are stored in another element type.",
         "weights stored as FLOAT16, were FLOAT"),
    Code("module.added", "drift",
         "An executed module that the baseline lacks, or a known one under another path (the message then "
         "names both; nothing else is said of it). An operator per new module that joins its result to others' "
         "is reported with it.",
         "new module Adapter (3 modules, 7 nodes)",
         "model"),
    Code("module.removed", "drift",
         "An executed module of the baseline is gone, with an operator per module that joined its result to others'.",
         "module BertPooler is gone",
         "model"),
    Code("module.class_changed", "drift",
         "The module at a path is of another class.",
         "class GELU -> ReLU",
         "model"),
    Code("ops.changed", "drift",
         "A module's own operators changed, or with the same operators an attribute, a constant or which value "
         "they read (the message says which, before and after), and no more specific finding says so.",
         "Add 2 -> 3, Mul 0 -> 1"),
    Code("ops.exploded", "regression",
         "A module's own nodes, or the graph's, more than doubled, and no more specific finding says so. "
         "From no node or a single one they must also grow by more than two: 1 -> 3 (an activation that gains "
         "a mul and an add) and 0 -> 2 are ops.changed, 1 -> 4 and 0 -> 3 exploded.",
         "4 -> 31 nodes"),
    Code("fusion.lost", "regression",
         "A fused operator (Attention, LayerNormalization, Gelu, …) is gone from a module.",
         "Attention 1 -> 0; MatMul 0 -> 2, Softmax 0 -> 1"),
    Code("fusion.gained", "improvement", "A module has a new fused operator.", "Attention 0 -> 1"),
    Code("controlflow.added", "regression",
         "If, Loop, Scan or SequenceMap appeared in a module.",
         "If 0 -> 1"),
    Code("dtype.internal", "regression",
         "A module computes in another precision: only Casts or element types of node outputs changed, or "
         "a new floating-point type appeared.",
         "Cast 0 -> 2, now with DOUBLE"),
    Code("coverage.dropped", "regression",
         "Coverage is below the baseline's by more than the tolerance, or below the minimum, also where only the "
         "number of nodes changed; not for shape code that came or went with axes freed or fixed.",
         "coverage 100% -> 92.3%"),
    Code("direct.dropped", "regression",
         "Direct coverage is below the baseline's by more than the tolerance, and more nodes than before lack "
         "direct evidence if their number changed; beside coverage.dropped only where it fell further, in "
         "other modules. Not for bodies of control flow and gained fusions.",
         "direct coverage 96.77% -> 81.2%"),
    Code("coverage.improved", "improvement",
         "Coverage is above the baseline's, whatever the number of nodes.",
         "coverage 92.3% -> 100%"),
    Code("tags.moved", "regression",
         "The same operators are now tagged with another module; both ran before and after.",
         "MatMul 1 is now under encoder"),
    Code("attestation.contradicted", "regression",
         "A module's tag is contradicted by the values it computes, and was not in the baseline.",
         "its values no longer match its tag"),
    Code("parity.failed", "breaking",
         "Outputs differ from PyTorch's beyond tolerance.",
         "output logits differs by 1e-01"),
    Code("parity.worse", "regression",
         "Outputs differ from PyTorch's more than the baseline's by over two decades, or by more than their "
         "element type's noise floor where the baseline's differed by nothing.",
         "output logits: 1e-06 -> 1e-03"),
    Code("step.failed", "breaking",
         "One of the eight export steps raised.",
         "step onnx_export failed: RuntimeError"),
    Code("stage.failed", "breaking",
         "A stage raised, or left no file or an invalid one. Stages after it were not run.",
         "stage int8:qdq failed: it wrote no file"),
    Code("quality.worse", "regression",
         "What a module or output of a stage's graph computes is farther from PyTorch's than the baseline's: its "
         "SQNR fell by more than htp_quality_tolerance (dB, default 6). Names the modules where it begins.",
         "SQNR 42 -> 24 dB, begins in this module"),
    Code("quality.better", "improvement",
         "A module's or output's SQNR rose by more than htp_quality_tolerance.",
         "SQNR 24 -> 42 dB"),
    Code("quantization.lost", "regression",
         "Operators of a module that ran quantized now run in float.",
         "MatMulInteger 4 -> 0, MatMul 0 -> 4"),
    Code("quantization.gained", "improvement",
         "Operators of a module that ran in float now run quantized.",
         "MatMulInteger 0 -> 4, MatMul 4 -> 0"),
    Code("target.failed", "breaking",
         "The graph no longer compiles for a target.",
         "no longer compiles for qnn: Failed to finalize QNN graph"),
    Code("placement.moved", "regression",
         "Nodes of a module run on a fallback device that ran on the target.",
         "qnn 4 -> 2, cpu 0 -> 2"),
    Code("placement.gained", "improvement",
         "Nodes of a module run on the target that ran on a fallback device.",
         "qnn 2 -> 4, cpu 2 -> 0"),
    Code("placement.split", "regression",
         "The target is given the graph in more pieces than in the baseline.",
         "1 -> 3 partitions"),
    Code("tokens.differ", "breaking",
         "Generated tokens differ from PyTorch's earlier than in the baseline.",
         "32 of 32 tokens agreed, now 5"),
    Code("flops.grown", "regression",
         "A module's floating-point operations grew by more than 1%.",
         "6.3 -> 12.6 MFLOP (+100.0%)",
         "model"),
    Code("flops.shrunk", "improvement",
         "A module's floating-point operations fell by more than 1%.",
         "12.6 -> 6.3 MFLOP (-50.0%)",
         "model"),
    Code("export.missing", "regression",
         "The test has a baseline for an export that it did not make this time.",
         "no export named decoder, which has a baseline",
         "model"),
    Code("toolchain.changed", "info",
         "Package versions, or the exporter, differ from the baseline's.",
         "torch 2.13.0 -> 2.14.0"),
)  # fmt: skip

_EXTENSIONS = (
    Code("io.dim_changed", "breaking",
         "A constant axis became another constant.",
         "output logits axis 1: 10 -> 12"),
    Code("io.dim_symbol", "drift",
         "Dynamic axes that were equal no longer are (or the reverse), or an axis is no longer known.",
         "input b axis 1 now equals input a axis 1"),
    Code("evidence.unobserved", "regression",
         "A place of the exporter that pytest-htp watches is gone, as after an upgrade: evidence is missing, and what "
         "rests on it alone is no longer direct. Update pytest-htp.",
         "torch.onnx._internal.exporter._core._exported_program_to_onnx_program can no longer be watched"),
    Code("record.changed", "info",
         "The record differs in something that no other code stands for (a weight's size below the 1% of "
         "weights.grown, the number of calls, evidence that shifted within a module).",
         "weights.parameters"),
    Code("weights.values", "info",
         "Weights that two .onnx files have in common hold other values (htp compare alone).",
         "12 of 40 weights hold other values, by up to 0.3 of their size, in encoder.layer.{0..3}",
         cause="model"),
    Code("exporter.wording", "info",
         "Two .onnx files of different exporters, or before and after an optimizer, write a module in other "
         "operators that compute the same, or call it by another name (htp compare alone).",
         "written in other operators that compute the same: encoder.layer.{0..11}.attention"),
    Code("model.unrelated", "breaking",
         "Two .onnx files have no weight, no module and few operators in common (htp compare alone).",
         "the two models have no weight and no module in common: nothing to compare",
         cause="model"),
)  # fmt: skip

# Codes of other plugins, as in "x-acme.layer-too-wide": never one of ours.
_PLUGIN_CODE = re.compile(r"x-[a-z0-9]+(?:[_-][a-z0-9]+)*(?:\.[a-z0-9]+(?:[_-][a-z0-9]+)*)+")


def is_plugin_code(code: str) -> bool:
    """Whether it is a code that a plugin may report: ``x-vendor.what``, lower case."""
    return _PLUGIN_CODE.fullmatch(code) is not None


EXTENSIONS = frozenset(code.code for code in _EXTENSIONS)
CODES: dict[str, Code] = {code.code: code for code in (*_CONTRACT, *_EXTENSIONS)}
