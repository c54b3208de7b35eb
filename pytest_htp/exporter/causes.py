"""Why exporters refuse a model, and what to do about each: one row a cause, the first that fits is it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Cause(NamedTuple):
    """A kind of failure.

    Attributes:
        name: what the row is called in docs and tests.
        pattern: searched in ``Type: message`` of the first cause.
        remedy: what to do.
    """

    name: str
    pattern: re.Pattern[str]
    remedy: str

    def subject(self, text: str) -> str | None:
        """What a group of the pattern caught (the operator that has no translation), None without groups."""
        match = self.pattern.search(text)
        return next(filter(None, match.groups()), None) if match else None


def _row(name: str, pattern: str, remedy: str) -> Cause:
    return Cause(name, re.compile(pattern, re.DOTALL), remedy)


CAUSES = (
    _row(
        "unsupported operator",
        r"No ONNX function found for (?:<OpOverload\(op=')?([\w:.]+)|no registered decomposition.*?([\w:.]+)",
        "replace the operator, or give it a translation with custom_translation_table= (exporter='torch'); another "
        "opset_version may have one",
    ),
    _row(
        "data-dependent control flow",
        r"GuardOnDataDependentSymNode|data-dependent|Dynamic control flow is not supported",
        "the code decides by the values of tensors, which an exported graph can't: use torch.cond or torch.where, or "
        "torch._check(…) to state what always holds; see https://docs.pytorch.org/docs/stable/export.html",
    ),
    _row(
        "unregistered class of an input or output",
        r"Unsupported input type <class|which is not a known type. If this type holds tensors",
        "register the class before the export: torch.export.register_dataclass(…) for a dataclass, "
        "torch.utils._pytree.register_pytree_node(…) for others; or take and return tensors, tuples and dicts",
    ),
    _row(
        "wrong key in dynamic_shapes",
        r"`?dynamic_shapes`? is specified as a dict, its top-level keys must be|keys of dynamic_shapes",
        "name the arguments of forward in dynamic_shapes, all of them",
    ),
    _row(
        "dynamic_shapes of another structure",
        r"Detected mismatch between the structure of `inputs` and `dynamic_shapes`|Expected (?:input|dynamic)",
        "give dynamic_shapes the structure of the inputs, None for what is no tensor",
    ),
    _row(
        "an axis that the model fixes",
        r"inferred a static shape|specialized it to be a constant|Constraints violated|conflicts between user-spec",
        "the model's code fixes that axis: leave it out of the dynamic axes (give it a plain size), or remove what "
        "reads its size as a number",
    ),
    _row(
        "quantized by torch.ao's eager mode",
        r"LinearPackedParamsBase|ConvNdPackedParamsBase|torch\.classes\.quantized",
        "packed weights of torch.ao.quantization's eager mode can't be traced: export the float model and quantize the "
        "graph (stages=['int8:dynamic']), or quantize with PT2E or torchao",
    ),
    _row(
        "fake tensors left in the model",
        r"FakeTensor|fake tensor|\bfake mode\b|Mixing fake modes",
        "an earlier export left fake tensors in the model (plain attributes that forward assigns keep them): build the "
        "model anew for each export",
    ),
    _row(
        "an operator of the user's own without a fake implementation",
        r"There was no fake impl registered|no fake impl",
        "register one, which says the shape and type of what the operator gives: @my_op.register_fake",
    ),
    _row(
        "an operator whose result's shape depends on values",
        r"DynamicOutputShapeException|DataDependentOutputException",
        "the shape of what the operator gives can't be told without its values: compute it outside of forward, or "
        "replace the operator",
    ),
    _row(
        "an operator that no dynamic axis may reach",
        r"UnsupportedOperatorException",
        "torch can't tell the operator's shapes where an axis is dynamic: give that axis a plain size, or replace the "
        "operator",
    ),
    _row(
        "a TorchScript module",
        r"not supported on ScriptModules|ScriptModule",
        "give the nn.Module that was scripted or traced: TorchScript can't be exported by torch.export",
    ),
    _row(
        "an output that is no tensor",
        r"AttributeError: '(?:str|int|float|bool|NoneType)' object has no attribute 'name'",
        "forward returns something that is no tensor: return tensors only",
    ),
)


LEFT_OVER = next(cause for cause in CAUSES if cause.name.startswith("fake tensors"))


def cause_of(text: str) -> Cause | None:
    """The first row that fits ``Type: message``, None where no row does."""
    return next((cause for cause in CAUSES if cause.pattern.search(text)), None)
