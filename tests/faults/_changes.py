"""Changes of a model's own code, made on an instance: each a change that a commit could make."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.faults._models import WIDTH


def _forward(module: Any, forward: Any) -> None:
    module.forward = MethodType(forward, module)


def third_output(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> tuple[Tensor, ...]:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x), torch.tanh(self.side(x)), x

    _forward(net, forward)


def one_output(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> tuple[Tensor, ...]:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        self.side(x)
        return (self.head(x),)

    _forward(net, forward)


def flat_output(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> tuple[Tensor, ...]:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x), torch.tanh(self.side(x)).flatten(1)

    _forward(net, forward)


def adapter(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.adapter(self.act(self.up(x))))
        return y

    feed = net.blocks[1].feed
    feed.adapter = nn.Linear(48, 48)
    _forward(feed, forward)


def drop_layer(net: Any) -> None:
    del net.blocks[2]


def relu(net: Any) -> None:
    for block in net.blocks:
        block.feed.act = nn.ReLU()


def mul_add(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return (x + self.feed(self.norm2(x))) * 1.5 + 0.25

    _forward(net.blocks[1], forward)


def bert_mul_add(model: Any) -> None:
    layer = model.encoder.layer[1]
    original = layer.feed_forward_chunk
    layer.feed_forward_chunk = lambda *args: original(*args) * 1.5 + 0.25


def scaled_expert(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        for part in self:
            x = part(x)
        return x * 1.5 + 0.25

    _forward(net.experts[1], forward)


def repeated_tanh(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(30):
            x = torch.tanh(x)
        return x

    _forward(net.experts[1][1], forward)


def drop_expert(net: Any) -> None:
    del net.experts[1]


def identity(net: Any) -> None:
    net.experts[1][1] = nn.Identity()


def epsilon(net: Any) -> None:
    net.blocks[1].norm1.eps = 1e-3


def unrolled(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        rows = []
        for position in range(query.shape[1]):
            scores = query[:, position : position + 1] @ key.transpose(1, 2) / WIDTH**0.5
            rows.append(scores)
        mixed: Tensor = self.output(self.softmax(torch.cat(rows, 1)) @ value)
        return mixed

    for block in net.blocks:
        _forward(block.attention, forward)


def manual_norm(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt() * self.weight + self.bias

    _forward(net.blocks[1].norm2, forward)


def manual_gelu(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.erf(x / 2**0.5))

    for block in net.blocks:
        _forward(block.feed.act, forward)


def branch(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        up = self.up(x)
        y = torch.cond(x.sum() > 0, lambda y: y * 2.0, lambda y: y - 1.0, (up,))
        z: Tensor = self.down(self.act(y))
        return z

    _forward(net.blocks[1].feed, forward)


def _double_norm(norm: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        weight, bias = self.weight.double(), self.bias.double()
        return F.layer_norm(x.double(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)

    _forward(norm, forward)


def double_norm(net: Any) -> None:
    _double_norm(net.blocks[1].norm1)


def bert_double_norm(model: Any) -> None:
    _double_norm(model.encoder.layer[1].output.LayerNorm)


def untie(model: Any) -> None:
    model.head.weight = nn.Parameter(model.embed.weight.detach().flip(0).clone())


def no_offset(net: Any) -> None:
    net.mix.gain = lambda weight: weight[0]


def other_scale(net: Any) -> None:
    net.mix.weigh = lambda weight: (weight * 0.25).softmax(0)


def other_axis(net: Any) -> None:
    net.mix.weigh = lambda weight: (weight * 0.5).softmax(1)


def transposed(net: Any) -> None:
    net.mix.weigh = lambda weight: (weight.T * 0.5).softmax(0)


def later_mask(net: Any) -> None:
    net.tables.mask = torch.full((256, 256), -torch.inf).triu(2)


def interleaved(net: Any) -> None:
    table = net.tables.sines
    net.tables.sines = torch.stack(table.chunk(2, 1), -1).flatten(1)


def batch_epsilon(net: Any) -> None:
    net.convolved.norm.eps = 1e-3


def more_groups(net: Any) -> None:
    net.convolved.groups.num_groups = 8
