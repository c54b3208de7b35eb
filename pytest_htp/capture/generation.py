"""Generative models in parts, as transformers' exporter splits them: prefill and decode, towers and language model.

The parts and their inputs are taken from one real call of ``generate``. What transformers' own split leaves
out because ``generate`` runs it beforehand (the encoder of an encoder-decoder, a vision tower and its
projector) is observed in the same call and added, so that the parts together are the whole model.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.inputs.signature import by_name
from pytest_htp.capture.inputs.spec import looks_like_spec, parse_spec
from pytest_htp.capture.kinds import is_transformers_model
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.state import preserved, seeded
from pytest_htp.errors import HTPUsageError
from pytest_htp.vocabulary import Weights

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

Components = dict[str, tuple[nn.Module, dict[str, object]]]

# transformers finds projectors by these names; it has no accessor for them.
_PROJECTORS = ("multi_modal_projector", "connector", "embed_vision", "embed_audio")
_MODALITIES = ("image", "video", "audio")
# Parts in the order in which data flows through them; others stay where transformers has them.
_ORDER = (
    "encoder",
    *(f"{modality}_encoder" for modality in _MODALITIES),
    *_PROJECTORS,
    "language_model",
    "lm_head",
    "prefill",
    "decode",
)


def generation_components(
    model: object,
    inputs: object = None,
    *,
    seed: int = 0,
    weights: Weights = "real",
    generation_config: GenerationConfig | None = None,
    multi_token_decode: bool = False,
    several_tokens: bool = False,
) -> Components:
    """``{component: (module, keyword inputs of its forward)}``, each ready to be exported by itself.

    Components: ``prefill`` and ``decode``; before them ``encoder`` for an encoder-decoder. A model of
    several modalities has, instead of ``prefill``, its ``image_encoder`` or ``audio_encoder``, the
    projector, ``language_model`` and ``lm_head``. Submodules may be plain modules.

    Args:
        model: whatever an export takes; it comes back as it was given.
        inputs: arguments of ``model.generate`` by name (strings describe tensors, without names for axes),
            or None to make them from the model's config.
        seed: of generated weights and inputs.
        weights: as of an export.
        generation_config: a ``GenerationConfig`` for the call, such as one with a static cache.
        multi_token_decode: ``decode`` takes several tokens at once, so that with ``dynamic=True`` their
            number can vary.
        several_tokens: as for :func:`generate_arguments`.

    Raises:
        HTPUsageError: the model can't generate, or not from these inputs.
    """
    module = resolve_model(model, weights=weights, seed=seed).module
    _check_generates(module)
    arguments = generate_arguments(module, inputs, seed, several_tokens=several_tokens)
    from transformers.exporters.utils import decompose_for_generation

    with ExitStack() as stack:
        stack.enter_context(preserved(module))
        stack.enter_context(seeded(seed))
        stack.enter_context(torch.no_grad())
        module.eval()
        observed = stack.enter_context(_observed(_encoders(module)))
        try:
            components: Components = decompose_for_generation(
                module,
                arguments,
                generation_config=generation_config,
                multi_token_decode=multi_token_decode,
            )
        except Exception as error:
            cause = error.__cause__ or error
            raise HTPUsageError(
                f"{type(module).__name__}.generate failed on the inputs {', '.join(arguments)} "
                f"({type(cause).__name__}: {cause}); for_generation takes what model.generate takes"
            ) from error
    # ``decode`` keeps what transformers' split found, also where this call saw the same module.
    components = {**observed, **components}
    return {name: components[name] for name in sorted(components, key=_position)}


def options_of_part(module: nn.Module, options: Mapping[str, object]) -> dict[str, object]:
    """What must replace options of the whole model where they can't be used for one of its parts.

    Parts that are plain modules (a projector) have only torch's exporter, whatever is asked for the model.
    """
    if is_transformers_model(module):
        return {}
    replaced: dict[str, object] = {}
    if options.get("exporter") == "transformers":
        replaced["exporter"] = "auto"
    if options.get("ort_fusions") is not None:
        replaced["ort_fusions"] = None
    return replaced


def _check_generates(module: nn.Module) -> None:
    can_generate = getattr(module, "can_generate", None)
    if can_generate is not None and can_generate():
        return
    hint = ""
    if hasattr(module, "config") and not getattr(module.config, "architectures", None):
        hint = '; its config names no class with a head ("architectures")'
    raise HTPUsageError(
        f"{type(module).__name__} can't generate{hint}: for_generation needs a transformers model with a generate "
        "method, such as a …ForCausalLM or …ForConditionalGeneration; export others by htp_export(model)"
    )


def generate_arguments(
    module: PreTrainedModel, inputs: object, seed: int, *, several_tokens: bool = False
) -> dict[str, object]:
    """The arguments of ``module.generate`` by name, as tensors; equal ones for an equal seed.

    Args:
        module: a model that generates.
        inputs: by name, or None to make them from the model's config.
        seed: of what is made.
        several_tokens: where a decoder would begin with its start token alone, it gets two more: ``torch.export`` takes
            an axis of size 1 for a fixed one, so a cache of one token could not grow.
    """
    if isinstance(inputs, Mapping):
        for name, value in inputs.items():
            if isinstance(value, str) and looks_like_spec(value) and (axes := parse_spec(value).dynamic_axes):
                axis = next(iter(axes.values()))
                raise HTPUsageError(
                    f"input {name!r} names the axis {axis!r}, but components have inputs of their own: give sizes only "
                    "(int64[2, 16]) and use dynamic=True"
                )
    elif inputs is not None:
        raise HTPUsageError(
            f"for_generation takes the arguments of model.generate by name, got {type(inputs).__name__}: pass a "
            'mapping, such as {"input_ids": torch.tensor(…)}, or None to make them'
        )
    arguments = make_inputs(module, inputs, seed=seed).copies()[1]
    if inputs is None:
        arguments.pop("decoder_input_ids", None)  # generate begins with the start token itself
    if several_tokens and getattr(module.config, "is_encoder_decoder", False):
        arguments.setdefault("decoder_input_ids", _decoder_start(module, arguments, seed))
    return arguments


def _decoder_start(module: PreTrainedModel, arguments: Mapping[str, object], seed: int) -> torch.Tensor:
    """Shape (batch, 3): the start token and two of the vocabulary."""
    config = module.generation_config
    start = config.decoder_start_token_id if config.decoder_start_token_id is not None else config.bos_token_id
    batch = next(value.shape[0] for value in arguments.values() if isinstance(value, torch.Tensor))
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(module.config.get_text_config(decoder=True).vocab_size, (batch, 3), generator=generator)
    tokens[:, 0] = start if isinstance(start, int) else 0
    return tokens


def _encoders(module: PreTrainedModel) -> dict[str, nn.Module]:
    """Submodules that ``generate`` may run before the first forward of the whole model."""
    found: dict[str, nn.Module] = {}
    for modality in _MODALITIES:
        encoder = _or_none(functools.partial(module.get_encoder, modality=modality))
        if isinstance(encoder, nn.Module) and encoder is not module and encoder not in found.values():
            found[f"{modality}_encoder"] = encoder
    for owner in (module, module.base_model):
        for name in _PROJECTORS:
            part = getattr(owner, name, None)
            if isinstance(part, nn.Module):
                found.setdefault(name, part)
    if getattr(module.config, "is_encoder_decoder", False):
        encoder = _or_none(module.get_encoder)
        if isinstance(encoder, nn.Module) and encoder is not module and encoder not in found.values():
            found["encoder"] = encoder
    return found


def _or_none(call: Callable[[], object]) -> object:
    try:
        return call()
    except (AttributeError, TypeError, NotImplementedError):  # no such modality, or no encoder at all
        return None


@contextmanager
def _observed(modules: Mapping[str, nn.Module]) -> Iterator[Components]:
    """Filled with the arguments of each module's first call in the block; modules not called stay out."""
    seen: Components = {}

    def note(name: str, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        if name not in seen:
            seen[name] = (module, by_name(module, copy.deepcopy(args), copy.deepcopy(kwargs)))

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_pre_hook(functools.partial(note, name), with_kwargs=True))
        yield seen


def _position(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER) - 2
