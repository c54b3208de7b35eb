"""Models to break: small plain ones, and tiny configs of BERT and Llama; built anew and seeded each time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertConfig, LlamaConfig, LlamaForCausalLM
from transformers import BertModel as _Bert

from pytest_htp.capture.distinct import make_parameters_distinct
from pytest_htp.capture.state import seeded

WIDTH = 32


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(WIDTH)
        mixed: Tensor = self.output(self.softmax(scores) @ self.value(x))
        return mixed


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(WIDTH, 48), nn.GELU(), nn.Linear(48, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.act(self.up(x)))
        return y


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.norm2, self.feed = nn.LayerNorm(WIDTH), FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.feed(self.norm2(x))
        return y


class Net(nn.Module):
    """Three pre-norm layers between an embedding and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head, self.side = nn.Linear(WIDTH, 5), nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x), torch.tanh(self.side(x))


class Through(nn.Module):
    """Returns one of its inputs as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(x), x


class TiedHead(nn.Module):
    """A head over 2-D states shares the embedding's one stored tensor (Gemm reads it transposed)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block = nn.Embedding(50, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.block(self.embed(tokens))))
        return logits


class Repeated(nn.Module):
    """One layer called twice: its weight is stored once and read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(self.mix(torch.tanh(self.mix(x)))))
        return y


class Mix(nn.Module):
    """Sums the rows of a tensor by a square of weights, which ``weigh`` computes of the parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, WIDTH * WIDTH).reshape(WIDTH, WIDTH))
        self.weigh: Callable[[Tensor], Tensor] = lambda weight: (weight * 0.5).softmax(0)
        self.gain: Callable[[Tensor], Tensor] = lambda weight: 1 + weight[0]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weigh(self.weight) * self.gain(self.weight)


class Tables(nn.Module):
    """A causal mask of zeros and infinities that a checkpoint holds, and a table of sines that none does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((256, 256), -math.inf).triu(1))
        angles = torch.arange(2048.0)[:, None] / 10000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
        self.register_buffer("sines", torch.cat((angles.sin(), angles.cos()), 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.get_buffer("sines")[: x.shape[1]]
        scores = x @ x.transpose(1, 2) + self.get_buffer("mask")[: x.shape[1], : x.shape[1]]
        return scores.softmax(-1) @ x


class Convolved(nn.Module):
    """A batch norm, which is folded into its convolution, and a norm in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm1d(WIDTH)
        self.groups = nn.GroupNorm(4, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.groups(self.norm(self.conv(x.transpose(1, 2))))
        return y


class Folded(nn.Module):
    """What export folds into constants, each in a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.tables, self.convolved = nn.Linear(6, WIDTH), Mix(), Tables(), Convolved()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolved(self.tables(self.mix(self.embed(x))))
        return y


class Experts(nn.Module):
    """The sum of three small experts: 504 bytes, of which a scalar constant is almost 1%."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.experts
        y: Tensor = first(x)
        for expert in others:
            y = y + expert(x)
        return y


def built(make: Callable[[], nn.Module], change: Callable[[nn.Module], object] | None = None) -> nn.Module:
    """A new model with seeded weights that are all different, changed by ``change`` afterwards."""
    with seeded(0):
        model = make()
    make_parameters_distinct(model)
    if change is not None:
        with seeded(1):
            change(model)
    return model.eval()


def bert(attention: str = "sdpa", layers: int = 3) -> nn.Module:
    return _Bert(
        BertConfig(
            vocab_size=2000,
            hidden_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=32,
            attn_implementation=attention,
        )
    )


def llama(tied: bool = True) -> nn.Module:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=60,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=48,
            max_position_embeddings=32,
            tie_word_embeddings=tied,
            use_cache=False,
        )
    )
