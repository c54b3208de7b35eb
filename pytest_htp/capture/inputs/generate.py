"""Inputs for transformers models, made from config and signature: small, seeded, all values different from each other.

One maker per argument of ``forward``, tried in the signature's order; a maker returns None where the
argument is not needed. Shapes: batch 2, 16 tokens (8 for a decoder behind an encoder), images of the
config's size, and as much audio as the model's convolutions need for 16 frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from pytest_htp.capture.inputs.signature import example, forward_signature
from pytest_htp.capture.inputs.values import random_tokens, vocabulary
from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH = 2
TOKENS = 16
DECODER_TOKENS = 8
FRAMES = 16
IMAGE = 64  # for models that take any size


def generate(model: PreTrainedModel, seed: int) -> dict[str, torch.Tensor]:
    """Keyword inputs for a transformers model, on its device, floating ones in its dtype.

    Raises:
        HTPUsageError: the family is not covered; the message shows what to pass.
    """
    wanted = _Wanted(model, seed)
    made: dict[str, torch.Tensor] = {}
    for name in wanted.arguments:
        if name in _MAKERS and (value := _MAKERS[name](wanted, made)) is not None:
            made[name] = value
    main = str(getattr(model, "main_input_name", ""))
    if main not in made or wanted.unsupported:
        raise HTPUsageError(
            f"inputs for {type(model).__name__} can't be made from its config"
            + (f" (it needs {wanted.unsupported[0]!r})" if wanted.unsupported else f" ({main!r} is not covered)")
            + f"; pass them, for example {example(model)}"
        )
    device, dtype = wanted.placement
    return {
        name: value.to(device=device, dtype=dtype if value.is_floating_point() else None)
        for name, value in made.items()
    }


class _Wanted:
    """What makers look at: arguments of ``forward``, modalities, fields of the config or its parts."""

    def __init__(self, model: PreTrainedModel, seed: int) -> None:
        self.model = model
        self.config = model.config
        signature = forward_signature(model)
        self.arguments = list(signature.parameters) if signature else []
        modalities = getattr(model, "input_modalities", "text")
        self.modalities = {modalities} if isinstance(modalities, str) else set(modalities)
        self.generator = torch.Generator().manual_seed(seed)
        self.text = self.config.get_text_config()
        # Vision towers that take flattened patches with their grid need a processor.
        self.unsupported = [name for name in self.arguments if name.endswith("grid_thw")]

    def field(self, *names: str, part: str | None = None) -> Any:
        """The first of the fields that the config, or else the part of it (``vision_config``), has."""
        for config in (getattr(self.config, part, None) if part else None, self.config):
            for name in names:
                value = getattr(config, name, None) if config is not None else None
                if value is not None:
                    return value
        return None

    def randn(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    @property
    def classifies(self) -> bool:
        return type(self.model).__name__.endswith("ForSequenceClassification")

    @property
    def batch(self) -> int:
        # A classifying decoder looks for the last token that is no padding; without one it refuses batches.
        return 1 if self.classifies and getattr(self.text, "pad_token_id", None) is None else BATCH

    @property
    def placement(self) -> tuple[torch.device, torch.dtype]:
        tensor = next((p for p in self.model.parameters() if p.is_floating_point()), torch.empty(0))
        return torch.device("cpu") if tensor.device.type == "meta" else tensor.device, tensor.dtype


Maker = Callable[[_Wanted, dict[str, torch.Tensor]], torch.Tensor | None]


def _input_ids(wanted: _Wanted, made: dict[str, torch.Tensor]) -> torch.Tensor | None:
    if "text" not in wanted.modalities:
        return None
    positions = getattr(wanted.text, "max_position_embeddings", None)
    length = min(TOKENS, positions) if isinstance(positions, int) and positions > 0 else TOKENS
    vocab_size = vocabulary(wanted.model)
    ids = random_tokens(wanted.text, vocab_size, (wanted.batch, length), wanted.generator, whole=wanted.config)
    placeholder = wanted.field("image_token_id", "image_token_index")
    if isinstance(placeholder, int) and "pixel_values" in wanted.arguments:
        images = torch.full((wanted.batch, _image_tokens(wanted)), placeholder)
        ids = torch.cat([ids[:, :1], images, ids[:, 1:]], dim=1)
    eos = getattr(wanted.text, "eos_token_id", None)
    if wanted.classifies and isinstance(eos, int) and 0 <= eos < vocabulary(wanted.model):
        ids[:, -1] = eos  # encoder-decoders classify from there
    return ids


def _attention_mask(wanted: _Wanted, made: dict[str, torch.Tensor]) -> torch.Tensor | None:
    return torch.ones_like(made["input_ids"]) if "input_ids" in made else None


def _token_type_ids(wanted: _Wanted, made: dict[str, torch.Tensor]) -> torch.Tensor | None:
    kinds = getattr(wanted.text, "type_vocab_size", 0)
    if "input_ids" not in made or not isinstance(kinds, int) or kinds < 2:
        return None
    batch, length = made["input_ids"].shape
    return (torch.arange(length) >= length // 2).long().repeat(batch, 1)


def _decoder_input_ids(wanted: _Wanted, made: dict[str, torch.Tensor]) -> torch.Tensor | None:
    if not getattr(wanted.config, "is_encoder_decoder", False):
        return None
    if wanted.classifies and "input_ids" in made:
        return None  # such models shift the input themselves, to read the answer at its end
    decoder = wanted.config.get_text_config(decoder=True)
    vocab_size = getattr(decoder, "vocab_size", None) or vocabulary(wanted.model)
    ids = random_tokens(decoder, vocab_size, (wanted.batch, DECODER_TOKENS), wanted.generator)
    start = wanted.field("decoder_start_token_id", "bos_token_id", "pad_token_id")
    if isinstance(start, int) and 0 <= start < vocab_size:
        ids[:, 0] = start
    return ids


def _pixel_values(wanted: _Wanted, made: dict[str, torch.Tensor]) -> torch.Tensor | None:
    if not wanted.modalities & {"image", "video"}:
        return None
    channels = wanted.field("num_channels", "in_channels", "in_chans", part="vision_config") or 3
    shape = [channels, *_image_size(wanted)]
    frames = wanted.field("num_frames", part="vision_config")
    if "video" in wanted.modalities and "image" not in wanted.modalities and isinstance(frames, int):
        shape.insert(0, frames)
    return wanted.randn(wanted.batch, *shape)


def _image_size(wanted: _Wanted) -> tuple[int, int]:
    size = wanted.field("image_size", "img_size", "crop_size", part="vision_config")
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    return IMAGE, IMAGE


def _image_tokens(wanted: _Wanted) -> int:
    """How many placeholders an image needs in the text."""
    if isinstance(tokens := wanted.field("mm_tokens_per_image"), int):
        return tokens
    patch = wanted.field("patch_size", part="vision_config")
    if not isinstance(patch, int):
        wanted.unsupported.append("pixel_values")
        return 0
    height, width = _image_size(wanted)
    tower = getattr(getattr(wanted.config, "vision_config", None), "model_type", "")
    whole = wanted.field("vision_feature_select_strategy") == "full" and tower == "clip_vision_model"
    return (height // patch) * (width // patch) + int(whole)


def _input_values(wanted: _Wanted, made: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """Raw audio, (batch, samples) or (batch, channels, samples), or a spectrogram (batch, frames, bins)."""
    bins, length = wanted.field("num_mel_bins"), wanted.field("max_length")
    kernels, strides = wanted.field("conv_kernel"), wanted.field("conv_stride")
    if isinstance(kernels, list | tuple) and isinstance(strides, list | tuple):
        samples = FRAMES
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            samples = (samples - 1) * stride + kernel
        return wanted.randn(BATCH, samples)
    if isinstance(bins, int) and isinstance(length, int):
        return wanted.randn(BATCH, length, bins)
    if isinstance(channels := wanted.field("audio_channels"), int):
        return wanted.randn(BATCH, channels, FRAMES * int(wanted.field("hop_length") or 320))
    return wanted.randn(BATCH, FRAMES * 400)


def _input_features(wanted: _Wanted, made: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """Mel features: Whisper's fixed (batch, bins, 2 * positions), else (batch, frames, features)."""
    features = wanted.field("input_feat_per_channel", "feature_projection_input_dim")
    if isinstance(features, int):
        return wanted.randn(BATCH, 4 * FRAMES, features * (wanted.field("input_channels") or 1))
    bins, positions = wanted.field("num_mel_bins"), wanted.field("max_source_positions")
    if isinstance(bins, int) and isinstance(positions, int):
        return wanted.randn(BATCH, bins, 2 * positions)
    return None


_MAKERS: dict[str, Maker] = {
    "input_ids": _input_ids,
    "attention_mask": _attention_mask,
    "token_type_ids": _token_type_ids,
    "pixel_values": _pixel_values,
    "input_values": _input_values,
    "input_features": _input_features,
    "decoder_input_ids": _decoder_input_ids,
}
