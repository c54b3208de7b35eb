"""One layer of a model written another way: the export hardly shows it, and an optimizer's pattern no longer fits."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

Change = Callable[[Any], object]


def _forward(module: Any, forward: Any) -> None:
    module.forward = MethodType(forward, module)


def both(*changes: Change) -> Change:
    def change(model: Any) -> None:
        for each in changes:
            each(model)

    return change


# The plain network (tests.faults._models.Net)


def cast_before_norm(dtype: torch.dtype) -> Change:
    """In layer 1 the sum goes through another element type before it is normalized."""

    def forward(self: Any, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.feed(self.norm2(x.to(dtype).float()))
        return y

    return lambda net: _forward(net.blocks[1], forward)


def gelu(constant: float) -> Callable[[Any, Tensor], Tensor]:
    return lambda self, x: 0.5 * x * (1 + torch.erf(x / constant))


def tanh_gelu(cubic: float) -> Callable[[Any, Tensor], Tensor]:
    return lambda self, x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + cubic * torch.pow(x, 3.0))))


def quick_gelu(self: Any, x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def quick_gelu_of_halves(self: Any, x: Tensor) -> Tensor:
    return x * torch.sigmoid(0.851 * x + 0.851 * x)


def norm(self: Any, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt() * self.weight + self.bias


def norm_eps_outside(self: Any, x: Tensor) -> Tensor:
    """Epsilon is added to the deviation, as in BERT's first TensorFlow code, not to the variance."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True).sqrt() + self.eps) * self.weight + self.bias


def norm_by_square(self: Any, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + self.eps) * self.weight + self.bias


def norm_clamped(self: Any, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.pow(2).mean(-1, keepdim=True).clamp(min=self.eps)
    return centred / variance.sqrt() * self.weight + self.bias


def activation(forward: Any, *layers: int) -> Change:
    """The activation of these layers of the plain network written so (all, where none is given)."""

    def change(net: Any) -> None:
        for number in layers or range(len(net.blocks)):
            _forward(net.blocks[number].feed.act, forward)

    return change


def normalization(forward: Any, *layers: int) -> Change:
    def change(net: Any) -> None:
        for number in layers or range(len(net.blocks)):
            _forward(net.blocks[number].norm2, forward)

    return change


def silu(*layers: int) -> Change:
    def change(net: Any) -> None:
        for number in layers:
            net.blocks[number].feed.act = nn.SiLU()

    return change


# Transformers


def bert_cast(model: Any) -> None:
    """A cast that changes no value, between the sum and its LayerNorm in one layer."""
    output = model.encoder.layer[1].output

    def forward(self: Any, states: Tensor, residual: Tensor) -> Tensor:
        states = self.dropout(self.dense(states))
        given: Tensor = self.LayerNorm((states + residual).double().float())
        return given

    _forward(output, forward)


def bert_scaled_residual(model: Any) -> None:
    output = model.encoder.layer[1].attention.output

    def forward(self: Any, states: Tensor, residual: Tensor) -> Tensor:
        states = self.dropout(self.dense(states))
        given: Tensor = self.LayerNorm(torch.relu(states + residual))
        return given

    _forward(output, forward)


def bert_late_bias(model: Any) -> None:
    """The bias of one layer is added in another precision, apart from its product."""
    dense = model.encoder.layer[1].intermediate.dense
    _forward(dense, lambda self, x: (x @ self.weight.T).double().add(self.bias.double()).float())


def llama_norm_by_square(model: Any) -> None:
    """``x * x`` in place of ``x.pow(2)`` in one layer's RMSNorm."""

    def forward(self: Any, x: Tensor) -> Tensor:
        x = x.float()
        return self.weight * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.variance_epsilon))

    _forward(model.model.layers[1].post_attention_layernorm, forward)


def llama_norm_eps_outside(model: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = x.float()
        return self.weight * (x / (x.pow(2).mean(-1, keepdim=True).sqrt() + self.variance_epsilon))

    _forward(model.model.layers[1].input_layernorm, forward)


def t5_norm_by_square(model: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.variance_epsilon))

    _forward(model.encoder.block[1].layer[1].layer_norm, forward)


def gpt2_gelu(model: Any) -> None:
    """``NewGELUActivation`` with its constant cut short in one layer."""
    _forward(model.transformer.h[1].mlp.act, tanh_gelu(0.0447))


def vit_cast(model: Any) -> None:
    norm_ = model.vit.layernorm
    original = norm_.forward
    norm_.forward = lambda x: original(x.double().float())


def resnet_clamp(model: Any) -> None:
    """The activation of one block is a clamp, which is not fused into its convolution."""
    block = model.resnet.encoder.stages[0].layers[0]
    _forward(block.layer[0].activation, lambda self, x: torch.nn.functional.softplus(x))


def resnet_cast(model: Any) -> None:
    block = model.resnet.encoder.stages[0].layers[0].layer[0]
    original = block.activation.forward
    block.activation.forward = lambda x: original(x.double().float())
