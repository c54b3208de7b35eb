"""How the exported program computed a value that is a constant in the graph: from which weights, by which operators.

Constant folding leaves the result alone, and what it holds is data; how it was computed is a part of the program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pytest_htp.format.program import plain_name

if TYPE_CHECKING:  # files are compared without torch
    import torch
    from torch import fx
    from torch.export import ExportedProgram

# Longer ones are written as the names of their operators and a digest.
_LONGEST = 120
_FEW = 16  # elements up to which a constant is written out
_HEX_DIGITS = 8
_COMMUTATIVE = frozenset(["add", "mul", "maximum", "minimum", "logical_and", "logical_or", "eq", "ne"])
_PASS_ON = frozenset(["clone", "detach", "alias", "lift_fresh_copy", "scalar_tensor"])
_NO_MEANING = frozenset(["device", "layout", "pin_memory", "memory_format", "non_blocking", "copy"])


class Recipes:
    """Recipes of the main graph of one exported program, decomposed."""

    def __init__(self, program: ExportedProgram) -> None:
        signature = program.graph_signature
        self._nodes: dict[str, fx.Node] = {node.name: node for node in program.graph_module.graph.nodes}
        self._named: dict[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        lifted = signature.inputs_to_lifted_tensor_constants.items()
        self._constants: dict[str, torch.Tensor] = {
            node: tensor for node, name in lifted if hasattr(tensor := program.constants.get(name), "tolist")
        }

    def of(self, names: Iterable[str], word: Callable[[str], str]) -> str:
        """``sub(weight, select(^scale, 0, 0))``; empty where no operator is known.

        Args:
            names: of values that a constant was folded from, itself among them.
            word: a parameter's name as the reader knows it.
        """
        nodes = [node for name in names if (node := self._nodes.get(name)) is not None]
        steps = {node for node in nodes if node.op == "call_function" and operator_name(node) not in _PASS_ON}
        last = sorted((node for node in steps if not steps & node.users.keys()), key=lambda node: node.name)
        written = _Written(self._leaf, word)
        return "+".join(dict.fromkeys(written.text(node) for node in last))

    def epsilon(self, name: str) -> float | None:
        """The last number that an operator is given, which a batch norm's epsilon is."""
        node = self._nodes.get(name)
        numbers = [arg for arg in node.args if isinstance(arg, float)] if node is not None else []
        return numbers[-1] if numbers else None

    def _leaf(self, node: fx.Node, word: Callable[[str], str]) -> str:
        if node.name in self._named:
            return word(self._named[node.name])
        tensor = self._constants.get(node.name)
        if tensor is None or tensor.numel() > _FEW or tensor.device.type == "meta":
            return "constant"
        return _plain(tensor.tolist())


class _Written:
    """Expressions with what was written before: programs share values, and writing each in full would double at every
    step.
    """

    def __init__(self, leaf: Callable[[fx.Node, Callable[[str], str]], str], word: Callable[[str], str]) -> None:
        self._leaf, self._word = leaf, word
        self._known: dict[fx.Node, tuple[str, frozenset[str]]] = {}

    def text(self, last: fx.Node) -> str:
        stack = [last]
        while stack:  # without recursion: chains are long
            missing = [node for node in stack[-1].all_input_nodes if node not in self._known]
            if missing:
                stack += missing
                continue
            node = stack.pop()
            self._known[node] = self._one(node)
        return self._shortened(last)

    def _one(self, node: fx.Node) -> tuple[str, frozenset[str]]:
        if node.op != "call_function":
            return self._leaf(node, self._word), frozenset()
        name = operator_name(node)
        used = frozenset[str]().union(*(self._known[given][1] for given in node.all_input_nodes))
        if name in _PASS_ON:
            return _plain(node.args[0], self._shortened), used
        given = [_plain(arg, self._shortened) for arg in node.args]
        given = sorted(given) if name in _COMMUTATIVE else given
        given += [f"{key} {_plain(arg, self._shortened)}" for key, arg in _meaningful(node)]
        return f"{name}({', '.join(given)})", used | {name}

    def _shortened(self, node: fx.Node) -> str:
        text, names = self._known[node]
        if len(text) <= _LONGEST:
            return text
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HEX_DIGITS]
        return f"{operator_name(node)} of {' '.join(sorted(names))} {digest}"


def operator_name(node: fx.Node) -> str:
    """``mul`` of ``aten.mul.Tensor``."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _meaningful(node: fx.Node) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in sorted(node.kwargs.items()) if name not in _NO_MEANING)


def _plain(value: object, text: Callable[[fx.Node], str] = str) -> str:
    from torch import fx

    if isinstance(value, fx.Node):
        return text(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_plain(item, text) for item in value)}]"
    if isinstance(value, float):
        return format(value, ".6g")
    return plain_name(value) if isinstance(value, str) else str(value).removeprefix("torch.")
