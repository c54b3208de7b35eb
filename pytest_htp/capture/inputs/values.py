"""Values for input tensors: seeded, varied, and within what the model can look up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def vocabulary(model: nn.Module) -> int:
    """The number of tokens: the config's, else of the smallest embedding, else 10."""
    if config := getattr(model, "config", None):
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        if isinstance(size := getattr(text, "vocab_size", None), int):
            return size
    sizes = [layer.num_embeddings for layer in model.modules() if isinstance(layer, nn.Embedding)]
    return min(sizes, default=10)


def random_tokens(
    config: PreTrainedConfig,
    vocab_size: int,
    shape: tuple[int, ...],
    generator: torch.Generator,
    *,
    whole: PreTrainedConfig | None = None,
) -> torch.Tensor:
    """Random token ids without the special ones (padding, begin, end) of ``config``, nor those of the ``whole``
    config it is a part of, which has the placeholders of images.
    """
    special = {
        token
        for part in (config, whole)
        if part is not None
        for name, value in vars(part).items()
        if name.endswith(("_token_id", "_token_index"))
        for token in (value if isinstance(value, list) else [value])
        if isinstance(token, int)
    }
    ordinary = torch.tensor([token for token in range(vocab_size) if token not in special] or [0])
    return ordinary[torch.randint(len(ordinary), shape, generator=generator)]


def value_for(
    name: str, dtype: torch.dtype, shape: tuple[int, ...], model: nn.Module, generator: torch.Generator
) -> torch.Tensor:
    """A tensor for the input ``name``: masks of ones, ascending positions, random tokens and numbers."""
    if "mask" in name:
        return torch.ones(shape, dtype=dtype)
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    if dtype.is_floating_point or dtype.is_complex:
        wide = dtype if dtype.is_complex else torch.float32
        return torch.randn(shape, generator=generator, dtype=wide).to(dtype)
    if "position" in name and shape:
        return torch.arange(shape[-1], dtype=dtype).expand(shape).clone()
    config = getattr(model, "config", None)
    if name == "token_type_ids":
        limit = max(1, getattr(config, "type_vocab_size", 1) or 1)
    else:
        limit = vocabulary(model)
        if config is not None and name.endswith("input_ids"):
            return random_tokens(config, limit, shape, generator).to(dtype)
    limit = min(limit, torch.iinfo(dtype).max)
    return torch.randint(limit, shape, generator=generator, dtype=torch.int64).to(dtype)
