"""Models of other libraries for ``libraries.py``: small, random weights, each with inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import architectures
from pytest_htp.capture.inputs.prepare import make_inputs

Case = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


def _images(size: int, count: int = 1) -> tuple[torch.Tensor]:
    return (torch.randn(count, 3, size, size),)


def _torchvision(name: str, size: int, **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        from torchvision import models

        return models.get_model(name, weights=None, **options), _images(size), {}

    return make


def _segmentation() -> Case:
    from torchvision import models

    return models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None), _images(64), {}


def _timm(name: str, size: int) -> Callable[[], Case]:
    def make() -> Case:
        import timm

        return timm.create_model(name, pretrained=False), _images(size), {}

    return make


def _unet() -> Case:
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=32, attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )  # fmt: skip
    inputs = {
        "sample": torch.randn(1, 4, 8, 8),
        "timestep": torch.tensor([3]),
        "encoder_hidden_states": torch.randn(1, 5, 32),
    }
    return model, (), inputs


def _vae() -> Case:
    from diffusers import AutoencoderKL

    model = AutoencoderKL(
        block_out_channels=(16, 32), norm_num_groups=8, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    return model, _images(16), {}


def _open_clip() -> Case:
    from open_clip.model import CLIP

    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 12, "vocab_size": 99, "width": 64, "heads": 2, "layers": 2}
    model = CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text)
    return model, (*_images(32), torch.randint(0, 99, (1, 12))), {}


def _lora() -> Case:
    from peft import LoraConfig, get_peft_model
    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=99)
    model = get_peft_model(BertModel(config), LoraConfig(r=4, target_modules=["query", "value"]))
    return model, (), {"input_ids": torch.randint(0, 99, (1, 7)), "attention_mask": torch.ones(1, 7, dtype=torch.long)}


def _yolo(name: str) -> Callable[[], Case]:
    def make() -> Case:
        from ultralytics import YOLO
        from ultralytics.nn.tasks import yaml_model_load  # noqa: F401 - says early what is missing

        return YOLO(f"{name}.yaml").model, _images(64), {}

    return make


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(32, 32), nn.Linear(32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)))


def _torchao(config: str) -> Callable[[], Case]:
    def make() -> Case:
        from torchao import quantization

        model = _Two().eval()
        quantization.quantize_(model, getattr(quantization, config)())
        return model, (torch.randn(2, 32),), {}

    return make


def _pt2e_model() -> tuple[nn.Module, tuple[torch.Tensor]]:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    inputs = (torch.randn(2, 32),)
    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(_Two().eval(), inputs).module(), quantizer)
    prepared(*inputs)
    return convert_pt2e(prepared), inputs


def _pt2e() -> Case:
    model, inputs = _pt2e_model()
    return model, inputs, {}


class _Around(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.q, self.head = inner, nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.q(x))


def _pt2e_part() -> Case:
    model, inputs = _pt2e_model()
    return _Around(model), inputs, {}


# Name → size of its square images.
TORCHVISION = {
    "alexnet": 64, "convnext_tiny": 32, "densenet121": 32, "efficientnet_b0": 64, "efficientnet_v2_s": 32,
    "googlenet": 64, "inception_v3": 96, "mnasnet0_5": 64, "mobilenet_v2": 64, "mobilenet_v3_large": 64,
    "mobilenet_v3_small": 64, "regnet_x_400mf": 64, "regnet_y_400mf": 64, "resnet18": 64, "resnext50_32x4d": 32,
    "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_t": 64, "vgg11_bn": 32, "wide_resnet50_2": 32,
}  # fmt: skip
TIMM_MODELS = {
    "convnext_atto": 64, "cspresnet50": 64, "densenet121": 64, "dla34": 64, "dpn48b": 64, "edgenext_xx_small": 64,
    "efficientformer_l1": 224, "efficientnet_b0": 64, "ese_vovnet19b_dw": 64, "fastvit_t8": 64, "fbnetc_100": 64,
    "ghostnet_100": 64, "hardcorenas_a": 64, "hrnet_w18_small": 64, "lcnet_050": 64, "levit_128s": 224,
    "mixer_s32_224": 224, "mnasnet_small": 64, "mobilenetv3_small_100": 64, "mobilenetv4_conv_small": 64,
    "mobileone_s0": 64, "mobilevit_xxs": 64, "nf_regnet_b0": 64, "poolformer_s12": 64, "pvt_v2_b0": 64,
    "regnetx_002": 64, "regnety_002": 64, "repvgg_a0": 64, "res2net50d": 64, "resnest14d": 64, "resnet10t": 64,
    "resnet18": 64, "resnetv2_50": 64, "rexnet_100": 64, "selecsls42": 64, "seresnext26d_32x4d": 64, "skresnet18": 64,
    "spnasnet_100": 64, "swin_tiny_patch4_window7_224": 224, "tf_efficientnetv2_b0": 64, "tinynet_e": 64,
    "vit_tiny_patch16_224": 224, "xcit_nano_12_p16_224": 224,
}  # fmt: skip

CASES: dict[str, Callable[[], Case]] = {
    "torchvision.vit_b_16": _torchvision("vit_b_16", 32, image_size=32, num_classes=10),
    "torchvision.lraspp": _segmentation,
    "diffusers.UNet2DConditionModel": _unet,
    "diffusers.AutoencoderKL": _vae,
    "open_clip.CLIP": _open_clip,
    "peft.lora_bert": _lora,
    "ultralytics.yolov8n": _yolo("yolov8n"),
    "ultralytics.yolo11n": _yolo("yolo11n"),
    "torchao.int8_weight_only": _torchao("Int8WeightOnlyConfig"),
    "torchao.int8_dynamic": _torchao("Int8DynamicActivationInt8WeightConfig"),
    "torchao.pt2e": _pt2e,
    "torchao.pt2e_part": _pt2e_part,
}


def _zoo(name: str) -> Callable[[], Case]:
    def make() -> Case:
        model, inputs = architectures.make(name)
        prepared = make_inputs(model, inputs)
        return model, *prepared.copies()

    return make


def cases() -> dict[str, Callable[[], Case]]:
    """Name (package, dot, model) → what makes it; the zoo's own come last."""
    found = dict(CASES)
    found |= {f"torchvision.{name}": _torchvision(name, size) for name, size in TORCHVISION.items()}
    found |= {f"timm.{name}": _timm(name, size) for name, size in TIMM_MODELS.items()}
    return found | {f"zoo.{name}": _zoo(name) for name in architectures.kinds() if not name.startswith("timm.")}
