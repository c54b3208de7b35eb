"""The architectures of the zoo: transformers families with tiny configs, and the plain modules of the
fixtures.

A transformers entry is a model class, its config class and the config's values; weights are random, seeded,
and all different. Families are grouped by what they process, since that is what readers look for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timm_models import PREFIX, TIMM, available, make_timm
from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp.capture.distinct import make_parameters_distinct
from pytest_htp.capture.models import resolve_model

_WIDE = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_TEXT = {**_WIDE, "intermediate_size": 128, "max_position_embeddings": 64}
_GROUPED = {**_TEXT, "num_key_value_heads": 2}
_EXPERTS = {**_GROUPED, "num_experts_per_tok": 2}
_VISION = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
_SEQ2SEQ = {
    "vocab_size": 128, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
    "max_position_embeddings": 64,
}  # fmt: skip
_AUDIO = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "conv_dim": (32, 32), "conv_stride": (5, 4), "conv_kernel": (10, 4), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
}  # fmt: skip
_SWIN = {
    "image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4],
    "window_size": 4,
}  # fmt: skip

Entry = tuple[str, str, Mapping[str, Any]]

TEXT: dict[str, Entry] = {
    "albert": ("AlbertModel", "AlbertConfig", {**_TEXT, "embedding_size": 32}),
    "bart": ("BartModel", "BartConfig", _SEQ2SEQ),
    "bloom": ("BloomModel", "BloomConfig", {"vocab_size": 128, "hidden_size": 64, "n_layer": 2, "n_head": 4}),
    "deberta_v2": (
        "DebertaV2Model", "DebertaV2Config", {**_TEXT, "relative_attention": True, "pos_att_type": ["p2c"]},
    ),
    "electra": ("ElectraModel", "ElectraConfig", {**_TEXT, "embedding_size": 32}),
    "falcon": ("FalconModel", "FalconConfig", {**_WIDE, "ffn_hidden_size": 128}),
    "fnet": ("FNetModel", "FNetConfig", {**_TEXT, "tpu_short_seq_length": 16}),
    "funnel": (
        "FunnelModel",
        "FunnelConfig",
        {
            "vocab_size": 128, "block_sizes": [1, 1], "num_decoder_layers": 1, "d_model": 64,
            "n_head": 4, "d_head": 16,
            "d_inner": 128,
        },
    ),
    "gemma2": ("Gemma2Model", "Gemma2Config", {**_GROUPED, "head_dim": 16}),
    "gemma3": ("Gemma3TextModel", "Gemma3TextConfig", {**_GROUPED, "head_dim": 16}),
    "gpt_neox": ("GPTNeoXModel", "GPTNeoXConfig", _TEXT),
    "gptj": (
        "GPTJModel", "GPTJConfig", {"vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4,
        "rotary_dim": 8},
    ),
    "longt5": (
        "LongT5Model",
        "LongT5Config",
        {"vocab_size": 128, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4,
        "local_radius": 4},
    ),
    "mistral": ("MistralModel", "MistralConfig", _GROUPED),
    "mobilebert": (
        "MobileBertModel",
        "MobileBertConfig",
        {**_TEXT, "intra_bottleneck_size": 32, "embedding_size": 32, "true_hidden_size": 32},
    ),
    "modernbert": ("ModernBertModel", "ModernBertConfig", {**_TEXT, "pad_token_id": 0}),
    "mpnet": ("MPNetModel", "MPNetConfig", _TEXT),
    "opt": ("OPTModel", "OPTConfig", {**_TEXT, "ffn_dim": 128, "word_embed_proj_dim": 64}),
    "pegasus": ("PegasusModel", "PegasusConfig", _SEQ2SEQ),
    "phi3": ("Phi3Model", "Phi3Config", {**_GROUPED, "pad_token_id": 0}),
    "qwen2": ("Qwen2Model", "Qwen2Config", _GROUPED),
    "roberta": ("RobertaModel", "RobertaConfig", _TEXT),
    "roformer": ("RoFormerModel", "RoFormerConfig", _TEXT),
    "squeezebert": ("SqueezeBertModel", "SqueezeBertConfig", {**_TEXT, "embedding_size": 64}),
    "xlnet": (
        "XLNetModel", "XLNetConfig", {"vocab_size": 128, "d_model": 64, "n_layer": 2, "n_head": 4,
        "d_inner": 128},
    ),
}  # fmt: skip

EXPERTS: dict[str, Entry] = {
    "deepseek_v2": (
        "DeepseekV2Model",
        "DeepseekV2Config",
        {
            **_EXPERTS, "moe_intermediate_size": 32, "n_routed_experts": 4, "n_shared_experts": 1,
            "kv_lora_rank": 16,
            "q_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 16, "v_head_dim": 16, "n_group": 1,
            "topk_group": 1, "first_k_dense_replace": 1,
        },
    ),
    "gpt_oss": ("GptOssModel", "GptOssConfig", {**_EXPERTS, "num_local_experts": 4, "head_dim": 16}),
    "granitemoe": ("GraniteMoeModel", "GraniteMoeConfig", {**_EXPERTS, "num_local_experts": 4}),
    "olmoe": ("OlmoeModel", "OlmoeConfig", {**_EXPERTS, "num_experts": 4}),
    "qwen2_moe": (
        "Qwen2MoeModel",
        "Qwen2MoeConfig",
        {**_EXPERTS, "num_experts": 4, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 64},
    ),
    "qwen3_moe": (
        "Qwen3MoeModel", "Qwen3MoeConfig", {**_EXPERTS, "num_experts": 4, "moe_intermediate_size": 32},
    ),
}  # fmt: skip

STATE_SPACE: dict[str, Entry] = {
    "bamba": (
        "BambaModel",
        "BambaConfig",
        {
            **_GROUPED, "attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 32,
            "mamba_d_state": 16,
            "mamba_n_groups": 1, "mamba_chunk_size": 8, "mamba_expand": 2,
        },
    ),
    "falcon_mamba": (
        "FalconMambaModel",
        "FalconMambaConfig",
        {"vocab_size": 128, "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "use_mambapy": False},
    ),
    "mamba": (
        "MambaModel",
        "MambaConfig",
        {"vocab_size": 128, "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2},
    ),
    "mamba2": (
        "Mamba2Model",
        "Mamba2Config",
        {
            "vocab_size": 128, "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2,
            "num_heads": 4, "head_dim": 16,
            "n_groups": 1, "chunk_size": 8,
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemmaModel",
        "RecurrentGemmaConfig",
        {**_GROUPED, "lru_width": 64, "attention_window_size": 8, "num_hidden_layers": 3},
    ),
}  # fmt: skip

VISION: dict[str, Entry] = {
    "beit": ("BeitModel", "BeitConfig", _VISION),
    "bit": ("BitModel", "BitConfig", {"embedding_size": 32, "hidden_sizes": [128, 128], "depths": [1, 1]}),
    "convnext": (
        "ConvNextModel",
        "ConvNextConfig",
        {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2, "image_size": 32},
    ),
    "deit": ("DeiTModel", "DeiTConfig", _VISION),
    "detr": (
        "DetrModel",
        "DetrConfig",
        {
            "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "num_queries": 8,
            "backbone_config": {
                "model_type": "resnet", "embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1],
                "layer_type": "basic", "out_features": ["stage2"],
            },
        },
    ),
    "dinov2": ("Dinov2Model", "Dinov2Config", _VISION),
    "efficientnet": (
        "EfficientNetModel",
        "EfficientNetConfig",
        {"width_coefficient": 0.25, "depth_coefficient": 0.25, "image_size": 64, "hidden_dim": 320},
    ),
    "focalnet": (
        "FocalNetModel",
        "FocalNetConfig",
        {"image_size": 32, "embed_dim": 16, "depths": [1, 1], "focal_levels": [2, 2],
        "focal_windows": [3, 3]},
    ),
    "levit": (
        "LevitModel",
        "LevitConfig",
        {
            "image_size": 64, "hidden_sizes": [16, 32, 48], "num_attention_heads": [1, 2, 3],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
    ),
    "mobilenet_v2": ("MobileNetV2Model", "MobileNetV2Config", {"depth_multiplier": 0.25, "image_size": 64}),
    "mobilevit": (
        "MobileViTModel",
        "MobileViTConfig",
        {"image_size": 64, "hidden_sizes": [32, 40, 48], "neck_hidden_sizes": [8, 16, 16, 24, 32, 40, 80]},
    ),
    "poolformer": (
        "PoolFormerModel",
        "PoolFormerConfig",
        {"hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1]},
    ),
    "regnet": (
        "RegNetModel", "RegNetConfig", {"embedding_size": 16, "hidden_sizes": [16, 32, 32, 64],
        "depths": [1, 1, 2, 1]},
    ),
    "segformer": (
        "SegformerModel",
        "SegformerConfig",
        {
            "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [16, 32],
            "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2],
        },
    ),
    "swin": ("SwinModel", "SwinConfig", _SWIN),
    "swinv2": ("Swinv2Model", "Swinv2Config", _SWIN),
    "vit_mae": ("ViTMAEModel", "ViTMAEConfig", {**_VISION, "mask_ratio": 0.0}),
    "yolos": ("YolosModel", "YolosConfig", {**_VISION, "image_size": [32, 32], "num_detection_tokens": 4}),
}  # fmt: skip

AUDIO: dict[str, Entry] = {
    "ast": ("ASTModel", "ASTConfig", {**_VISION, "max_length": 32, "num_mel_bins": 16}),
    "hubert": ("HubertModel", "HubertConfig", _AUDIO),
    "sew": ("SEWModel", "SEWConfig", {**_AUDIO, "squeeze_factor": 2, "do_stable_layer_norm": False}),
    "unispeech": ("UniSpeechModel", "UniSpeechConfig", _AUDIO),
    "wav2vec2_conformer": ("Wav2Vec2ConformerModel", "Wav2Vec2ConformerConfig", _AUDIO),
    "wavlm": ("WavLMModel", "WavLMConfig", _AUDIO),
}

MULTIMODAL: dict[str, Entry] = {
    "blip": (
        "BlipModel",
        "BlipConfig",
        {"text_config": {**_TEXT, "encoder_hidden_size": 64}, "vision_config": _VISION, "projection_dim": 32},
    ),
    "chinese_clip": (
        "ChineseCLIPModel",
        "ChineseCLIPConfig",
        {"text_config": _TEXT, "vision_config": _VISION, "projection_dim": 32},
    ),
    "siglip": ("SiglipModel", "SiglipConfig", {"text_config": _TEXT, "vision_config": _VISION}),
    "vilt": ("ViltModel", "ViltConfig", {**_TEXT, "image_size": 32, "patch_size": 8, "max_image_length": -1}),
}  # fmt: skip

GROUPS: dict[str, dict[str, Entry]] = {
    "text": TEXT,
    "mixture of experts": EXPERTS,
    "state space": STATE_SPACE,
    "vision": VISION,
    "audio": AUDIO,
    "multimodal": MULTIMODAL,
}
# Where the config says too little to make inputs from.
INPUTS = {
    "focalnet": {"pixel_values": "float32[2, 3, 32, 32]"},
    "regnet": {"pixel_values": "float32[2, 3, 32, 32]"},
}
ENTRIES = {name: entry for group in GROUPS.values() for name, entry in group.items()}
_OF_FIXTURE = {
    "clip": "multimodal", "llava": "multimodal", "mixtral": "mixture of experts", "resnet": "vision",
    "vit": "vision",
    "wav2vec2": "audio", "whisper": "audio",
}  # fmt: skip


def kinds() -> dict[str, str]:
    """Architecture name → what it is (``text``, …, ``plain module``), in the order of the report."""
    found = {name: _OF_FIXTURE.get(name, "text") for name in config_names()}
    found |= {name: group for group, entries in GROUPS.items() for name in entries}
    found |= dict.fromkeys(MODELS, "plain module")
    if available():
        found |= {f"{PREFIX}{name}": "timm" for name in TIMM}
    order = [*GROUPS, "timm", "plain module"]
    return dict(sorted(found.items(), key=lambda item: (order.index(item[1]), item[0])))


def make(name: str) -> tuple[nn.Module, Any]:
    """The model in eval mode, and inputs (None: to be made from its config)."""
    import transformers

    if name in MODELS:
        return MODELS[name].make(), MODELS[name].inputs()
    if name.startswith(PREFIX):
        return make_timm(name)
    if name in ENTRIES:
        model_class, config_class, values = ENTRIES[name]
        config = getattr(transformers, config_class)(**values)
        config.architectures = [model_class]
        model = resolve_model(config).module
    else:
        model = resolve_model(config_dir(name)).module
    make_parameters_distinct(model)
    return model.eval(), INPUTS.get(name)
