"""Greedy generation twice: by PyTorch, and by the exported prefill and decode in ONNX Runtime.

Both run transformers' own ``generate``, so that positions, masks and suppressed end tokens are the same; for the
second, the forward of the model is the exported components, and each cache that one returns is what the next gets."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from torch import Tensor, nn

from pytest_htp.capture.state import preserved, seeded
from pytest_htp.errors import HTPUsageError

_CACHE = re.compile(r"^(?:output\.)?past_key_values\.layers\.(\d+)\.(keys|values)$")


def equal_tokens(
    module: nn.Module, arguments: Mapping[str, Any], components: Mapping[str, Path], count: int, *, seed: int
) -> int:
    """How many of ``count`` greedy tokens agree before the first difference; the worst sequence of the batch.

    Args:
        module: the model that generates; it comes back as it was given.
        arguments: of ``module.generate``, by name.
        components: ``prefill`` and ``decode`` → their files, exported with dynamic axes.

    Raises:
        HTPUsageError: a component can't be run on what generate gives it (another kind of cache, fixed sizes).
    """
    expected = _generate(module, arguments, count, seed)
    with _run_by(module, components):
        try:
            got = _generate(module, arguments, count, seed)
        except HTPUsageError:
            raise
        except Exception as error:
            raise HTPUsageError(
                f"tokens={count}: the exported prefill and decode can't generate with each other "
                f"({type(error).__name__}: {str(error).splitlines()[0]}); leave tokens out, or export with dynamic=True"
            ) from error
    same = (expected == got).int().cumprod(dim=1).sum(dim=1)
    return int(same.min())


def _generate(module: Any, arguments: Mapping[str, Any], count: int, seed: int) -> Tensor:
    """Shape (batch, count): the new tokens."""
    with preserved(module), seeded(seed), torch.no_grad():
        module.eval()
        copies = {name: value.clone() if isinstance(value, Tensor) else value for name, value in arguments.items()}
        generated: Tensor = module.generate(**copies, do_sample=False, max_new_tokens=count, min_new_tokens=count)
    return generated[:, -count:]


@contextmanager
def _run_by(module: Any, components: Mapping[str, Path]) -> Iterator[None]:
    from transformers.exporters.utils import onnx_feed
    from transformers.modeling_outputs import CausalLMOutputWithPast

    sessions = {
        name: ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for name, path in components.items()
    }
    original = module.forward

    @functools.wraps(original)  # generate looks at its parameters
    def forward(**given: Any) -> Any:
        cache = given.get("past_key_values")
        session = sessions["prefill" if cache is None or cache.get_seq_length() == 0 else "decode"]
        feed = onnx_feed([row.name for row in session.get_inputs()], given)
        names = [row.name for row in session.get_outputs()]
        found = {name: torch.from_numpy(value) for name, value in zip(names, session.run(names, feed), strict=True)}
        return CausalLMOutputWithPast(logits=found.pop("logits"), past_key_values=_cache_of(found))

    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _cache_of(outputs: Mapping[str, Tensor]) -> Any:
    """The cache that a component returned, layer by layer."""
    from transformers import DynamicCache

    layers: dict[int, dict[str, Tensor]] = {}
    for name, value in outputs.items():
        match = _CACHE.match(name)
        if match is None:
            raise HTPUsageError(
                f"tokens= can hand on caches of keys and values by layer, and the exported component has the output "
                f"{name!r}; leave tokens out for this model"
            )
        layers.setdefault(int(match[1]), {})[match[2]] = value
    cache = DynamicCache()
    for index in sorted(layers):
        cache.update(layers[index]["keys"], layers[index]["values"], index)
    return cache
