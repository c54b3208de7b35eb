"""timm's CNNs and ViTs with random weights, for the zoo, where timm is installed (it is in no extra of ours).

timm imports torchvision, whose wheel on PyPI is built for CUDA: beside a CPU build of torch its operators are
missing, and registering their shapes fails (``operator torchvision::nms does not exist``). None of these models uses
one of them, so declaring the names is enough.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytest_htp.capture.distinct import make_parameters_distinct

# Name in timm → size of its square images.
TIMM = {
    "convnext_atto": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "mixer_s32_224": 224,
    "mobilenetv3_small_100": 64,
    "regnetx_002": 64,
    "resnet18": 64,
    "vit_tiny_patch16_224": 224,
}
PREFIX = "timm."
# Those of which the pairs of two releases are made.
RELEASED = ("resnet18", "vit_tiny_patch16_224", "efficientnet_b0", "convnext_atto", "mobilenetv3_small_100")
_ACTIVATIONS = frozenset({"ReLU", "GELU", "SiLU", "Hardswish"})

_KEPT: list[torch.library.Library] = []


def available() -> bool:
    return importlib.util.find_spec("timm") is not None and importlib.util.find_spec("torchvision") is not None


def make_timm(name: str) -> tuple[nn.Module, Any]:
    """``timm.resnet18``: the model in eval mode and two images."""
    declare_operators()
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name.removeprefix(PREFIX), pretrained=False)
    make_parameters_distinct(model)
    size = TIMM[name.removeprefix(PREFIX)]
    return model.eval(), (torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1)),)


def declare_operators() -> None:
    """Declare torchvision's operators, so that it can be imported beside a CPU build of torch; once."""
    spec = importlib.util.find_spec("torchvision")
    if _KEPT or spec is None or spec.origin is None or torch.cuda.is_available():
        return
    source = Path(spec.origin).with_name("_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "DEF")
    names = re.findall(r'(?:register_meta|register_fake)\("(?:torchvision::)?(\w+)"', source)
    for name in dict.fromkeys(names):
        library.define(f"{name}(Tensor x) -> Tensor")
    _KEPT.append(library)


def export_release(folder: Path, *, planted: bool) -> None:
    """Export the models of whichever timm is importable, with weights that depend on their names alone.

    Args:
        folder: gets ``resnet18.script17.onnx`` and ``resnet18.dynamo20.onnx`` of each model.
        planted: with another activation in one module, whose path ``resnet18.planted`` holds.
    """
    declare_operators()
    import timm

    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator()
    for name in RELEASED:
        model = timm.create_model(name, pretrained=False).eval()
        for key, tensor in model.state_dict(keep_vars=False).items():
            if tensor.is_floating_point():
                generator.manual_seed(zlib.crc32(key.encode()))
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator) / 10)
        if planted:
            activations = [path for path, module in model.named_modules() if type(module).__name__ in _ACTIVATIONS]
            path = activations[len(activations) // 2]
            model.set_submodule(path, nn.Tanh())
            (folder / f"{name}.planted").write_text(path, "utf-8")
        example = (torch.ones(1, 3, TIMM[name], TIMM[name]),)
        names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "external_data": False}
        for kind, opset, dynamo in (("script17", 17, False), ("dynamo20", 20, True)):
            torch.onnx.export(
                model, example, folder / f"{name}.{kind}.onnx", opset_version=opset, dynamo=dynamo, **names
            )


if __name__ == "__main__":
    export_release(Path(sys.argv[1]), planted=sys.argv[2:] == ["planted"])
