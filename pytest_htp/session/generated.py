"""What ``htp_export.for_generation`` returns, and what it needs to generate tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from pytest_htp.capture.generation import Components
    from pytest_htp.exporter.result import HTPExport


class GenerationExports(dict[str, "HTPExport"]):
    """Component → its export.

    Attributes:
        tokens_equal: greedy tokens that agree with PyTorch's before the first difference; None if not asked for.
    """

    tokens_equal: int | None = None


def check_tokens(tokens: object, generation_config: object) -> None:
    """What is asked for can be generated.

    Raises:
        HTPUsageError: ``tokens`` is no number of tokens, or a static cache has no size of its own: ``generate`` makes
            it as long as what it is to write, and the components are exported from a shorter text than they write.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise HTPUsageError(f"tokens= is how many tokens to generate, an integer of at least 1; got {tokens!r}")
    kind = getattr(generation_config, "cache_implementation", None) or ""
    if "static" in kind and getattr(generation_config, "max_cache_len", None) is None:
        raise HTPUsageError(
            f"tokens={tokens} with cache_implementation={kind!r} need max_cache_len in the generation_config, at least "
            "the prompt's length and the tokens: the components are exported for a cache of that size"
        )


def tokens_of(
    exports: Mapping[str, HTPExport],
    components: Components,
    inputs: object,
    count: int,
    *,
    seed: int,
    generation_config: object,
) -> int:
    """How many greedy tokens of PyTorch the files that ship generate as well.

    Raises:
        HTPUsageError: the components can't generate with each other.
    """
    from pytest_htp.capture.generation import generate_arguments
    from pytest_htp.parity.tokens import Component, equal_tokens

    model = components["decode"][0]
    parts = {}
    for name, export in exports.items():
        shipped = next(reversed(export.stages.values()), export)
        parts[name] = Component(components[name][0], shipped.onnx_path, shipped.program)
    arguments = generate_arguments(model, inputs, seed, several_tokens=True)
    if generation_config is not None:
        arguments["generation_config"] = generation_config
    return equal_tokens(model, arguments, parts, count, seed=seed)
