"""fusion.lost and fusion.gained: operators that stand for many, gone or new in a module."""

from __future__ import annotations

from pytest_htp.compare.changes import Change, bare
from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.shapes import mask_code_only
from pytest_htp.format.paths import Neighbourhood, ancestors, parent_of

# Fused operators by what they compute: one of a family replaced by another (Gelu by FastGelu) is no loss.
_FAMILIES = {
    "attention": "Attention MultiHeadAttention GroupQueryAttention PackedAttention PackedMultiHeadAttention "
    "DecoderMaskedMultiHeadAttention SparseAttention PagedAttention LongformerAttention QAttention",
    "norm": "LayerNormalization SimplifiedLayerNormalization RMSNormalization SkipLayerNormalization "
    "SkipSimplifiedLayerNormalization EmbedLayerNormalization",
    "group norm": "GroupNormalization GroupNorm SkipGroupNorm",
    "gelu": "Gelu FastGelu QuickGelu BiasGelu BiasSplitGelu",
    "rotary": "RotaryEmbedding GemmaRotaryEmbedding",
    "swish": "Swish",
    "matmul": "FusedMatMul FusedGemm MatMulNBits",
    "convolution": "FusedConv NhwcFusedConv",
}
# Operators that took in more than others of their family: LayerNormalization in place of the Skip one is a loss.
_WIDER = {
    "skip norm": "SkipLayerNormalization SkipSimplifiedLayerNormalization EmbedLayerNormalization SkipGroupNorm",
    "bias gelu": "BiasGelu BiasSplitGelu",
}
WIDER = {op: family for family, ops in _WIDER.items() for op in ops.split()}
FUSED = {op: family for family, ops in _FAMILIES.items() for op in ops.split()}


def compare_fusions(context: Context) -> None:
    lost: set[str] = set()
    gained: set[str] = set()
    for path, pair in list(context.open.items()):
        change = pair.change
        families = family_differences(change)
        if not families:
            continue
        for code, found, names in (
            ("fusion.lost", lost, [family for family, count in families.items() if count < 0]),
            ("fusion.gained", gained, [family for family, count in families.items() if count > 0]),
        ):
            # A module replaced by one of another class lost no fusion unless it now takes more nodes, or computes the
            # same in an operator that takes in less.
            replaced = change.class_changed and change.nodes <= 0 and not _WIDER.keys() >= set(names)
            if not names or (code == "fusion.lost" and replaced):
                continue
            found.add(path)
            context.report(
                code, f"{change.description}{context.source(pair)}", module=path,
                before=change.counts(change.before), after=change.counts(change.after),
            )  # fmt: skip
            if not change.new_floats:
                context.claim(path)
    _claim_around(context, lost, gains=True)
    _claim_around(context, gained, gains=False)
    _claim_masks(context, lost | gained)


def family_differences(change: Change) -> dict[str, int]:
    """Signed change of the number of fused operators per family."""
    families: dict[str, int] = {}
    for op, count in change.ops.items():
        for known in (FUSED, WIDER):
            family = known.get(op) or known.get(bare(op))
            if family:
                families[family] = families.get(family, 0) + count
    return families


def _claim_masks(context: Context, fused: set[str]) -> None:
    """The mask that attention reads is made further out, in another form for a fused operator."""
    outer = {path for module in fused for path in ancestors(module)}
    for path, pair in list(context.open.items()):
        if path in outer and pair.change.ops and mask_code_only(pair.change) and not pair.change.new_floats:
            context.claim(path)


def _claim_around(context: Context, fused: set[str], *, gains: bool) -> None:
    """A fusion over several modules takes (or gives back) operators of its parent, siblings and children."""
    if not fused:
        return
    near, parents = Neighbourhood(fused), {parent_of(path) for path in fused}
    changes = {pair.path: pair.change for pair in context.modules.changed}
    # The sum that a LayerNormalization or GELU took in may be anywhere before it: as many as such operators went.
    sums = sum(abs(count) for path in fused for op, count in changes[path].ops.items() if bare(op) in WIDER)
    for path, pair in list(context.open.items()):
        if not (pair.change.only_gains if gains else pair.change.only_losses):
            continue
        added = abs(pair.change.ops.get("Add", 0))
        close = path in parents or parent_of(path) in parents or near.encloses(path)
        if close or (pair.change.ops.keys() == {"Add"} and added <= sums):
            sums -= added
            context.claim(path)
