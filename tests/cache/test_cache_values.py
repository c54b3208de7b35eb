"""Digests of values and code: equal for equal content, different for any other; and what a miss says."""

from __future__ import annotations

import functools
import re
from collections import deque
from enum import Enum
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from pytest_htp.cache import Uncertain
from pytest_htp.cache.request import difference
from pytest_htp.cache.walk import Walk


class Colour(Enum):
    RED = 1
    BLUE = 2


def function(text: str, **names: Any) -> FunctionType:
    """A function made of text, under one name in one file."""
    scope: dict[str, Any] = {"__name__": "net", **names}
    exec(compile(text, "net.py", "exec"), scope)
    found = scope["f"]
    assert isinstance(found, FunctionType)
    return found


def strided(values: list[float], stride: int) -> torch.Tensor:
    return torch.tensor(values)[::stride]


# Each makes its value anew; no two are alike.
VALUES: list[Any] = [
    lambda: None,
    lambda: 0,
    lambda: 0.0,
    lambda: -0.0,
    lambda: False,
    lambda: "0",
    lambda: b"0",
    lambda: (0,),
    lambda: [0],
    lambda: deque([0]),
    lambda: {0},
    lambda: {0: 1, 1: 0},
    lambda: {1: 0, 0: 1},
    lambda: {"a": {"b": [1, 2, {3}]}},
    lambda: {"a": {"b": [1, 2, {4}]}},
    lambda: Colour.RED,
    lambda: Colour.BLUE,
    lambda: re.compile("a"),
    lambda: re.compile("a", re.I),
    lambda: slice(1, 2),
    lambda: torch.float32,
    lambda: torch.device("cpu"),
    lambda: torch.ones(2),
    lambda: torch.ones(2, requires_grad=True),
    lambda: torch.ones(2, dtype=torch.float64),
    lambda: torch.ones(2, 1),
    lambda: torch.tensor([1.0, 1.0000001]),
    lambda: strided([1.0, 1.0, 1.0, 1.0], 2),
    lambda: nn.Parameter(torch.ones(2)),
    lambda: torch.ones(2, device="meta"),
    lambda: np.ones(2, dtype=np.float32),
    lambda: np.ones(2),
    lambda: SimpleNamespace(a=1),
    lambda: SimpleNamespace(a=2),
    lambda: function("def f(x): return x"),
    lambda: function("def f(x): return -x"),
    lambda: function("def f(y): return y"),
    lambda: function("def f(x, y=1): return x"),
    lambda: function("def f(x, y=2): return x"),
    lambda: functools.partial(function("def f(x): return x"), 1),
    lambda: functools.partial(function("def f(x): return x"), 2),
]


def digest(make: Any) -> str:
    return Walk().digest(make())


def test_equal_content_has_one_digest_and_other_content_another() -> None:
    once, again = [digest(make) for make in VALUES], [digest(make) for make in VALUES]
    assert once == again
    assert len(set(once)) == len(once), [place for place, said in enumerate(once) if once.count(said) > 1]


def test_shared_and_separate_values_differ() -> None:
    def two(same: bool) -> list[torch.Tensor]:
        first = torch.ones(2)
        return [first, first[:] if same else torch.ones(2)]

    assert Walk().digest(two(True)) != Walk().digest(two(False)), "an export writes shared weights once"


def test_a_ring_of_values_ends() -> None:
    def ring(value: int) -> list[Any]:
        made: list[Any] = [value]
        made.append(made)
        return made

    assert Walk().digest(ring(1)) == Walk().digest(ring(1)) != Walk().digest(ring(2))


def code(text: str, **names: Any) -> dict[str, str]:
    walk = Walk()
    walk.digest(function(text, **names))
    return walk.code()


def test_comments_and_lines_are_no_content_and_what_a_function_reads_is() -> None:
    said = code("def f(x): return x + n", n=1)
    assert code("# a comment\n\n\ndef f(x):  # more\n    return x + n", n=1) == said
    assert code("def f(x): return x + n", n=2) != said
    assert code("def f(x): return x - n", n=1) != said


def test_a_function_is_followed_into_what_it_calls() -> None:
    text = "def g(x): return x + {}\ndef f(x): return g(x)"
    assert code(text.format(1)) == code(text.format(1)) != code(text.format(2))


def test_hooks_are_told_by_place_and_flags_of_that_name_are_none() -> None:
    def model(*factors: float) -> nn.Module:
        made = nn.Linear(2, 2)
        torch.manual_seed(0)
        made.reset_parameters()
        setattr(made, "_has_hooks", True)  # noqa: B010 - as backbones of transformers have one
        for factor in factors:
            made.register_forward_hook(lambda *args, factor=factor: args[-1] * factor)
        return made

    assert digest(lambda: model(2, 3)) == digest(lambda: model(2, 3)) != digest(lambda: model(3, 2))


def test_weights_are_told_apart_from_the_rest_of_a_model() -> None:
    def model(seed: int, width: int = 3) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(width, 3), nn.GELU())

    first, other = Walk().model(model(0)), Walk().model(model(1))
    assert Walk().model(model(0)) == first
    assert (first[0], first[1] != other[1]) == (other[0], True), "equal but for the weights"
    assert Walk().model(model(0).eval())[0] != first[0]
    assert Walk().model(model(0, width=4))[0] != first[0]
    hooked = model(0)
    hooked.register_forward_hook(function("def f(module, args, output): return output"))
    assert Walk().model(hooked)[0] != first[0]


def test_where_the_project_lies_is_no_content(tmp_path: Path) -> None:
    digests = []
    for name, content in (("here", "1"), ("there", "1"), ("other", "2")):
        root = tmp_path / name
        root.mkdir()
        (root / "vocabulary.txt").write_text(content)
        digests.append(Walk(root).digest([str(root / "vocabulary.txt"), root / "vocabulary.txt"]))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("make", [lambda: iter([1]), lambda: (number for number in [1]), lambda: Path.cwd()])
def test_what_hides_its_content_is_uncertain(make: Any) -> None:
    with pytest.raises(Uncertain, match="can't be determined"):
        Walk().digest(make())


def test_a_difference_is_told_in_words() -> None:
    before = {"net.py": "a" * 64, "torch": "2.12.0", "weights or buffers": "b" * 64, "gone.py": "c" * 64}
    now = {"net.py": "d" * 64, "torch": "2.13.0", "weights or buffers": "b" * 64, "new.py": "e" * 64}
    assert difference(before, now) == "gone.py is gone, net.py changed, new.py is new, torch 2.13.0 (was 2.12.0)"
    assert difference(before, before) == ""
    many = {f"{number}.py": "a" * 64 for number in range(7)}
    assert difference({}, many).endswith("3.py is new and 3 more")


def test_where_a_wrapped_function_lies_in_memory_is_no_content() -> None:
    made = [torch.compiler.disable(function(f"def f(x): return x + {number}")) for number in (1, 1, 2)]
    one, same, other = (Walk().digest(each) for each in made)
    assert one == same != other


def test_what_a_library_names_its_process_by_is_no_content(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 9}
    model = transformers.BartModel(transformers.BartConfig(**sizes, decoder_attention_heads=2, pad_token_id=0))

    def said() -> dict[str, str]:
        walk = Walk()
        walk.model(model)
        return walk.code()

    model.config._original_object_hash = 1
    before = said(), Walk().model(model)
    model.config._original_object_hash = 2
    monkeypatch.setattr(transformers.utils.hub, "SESSION_ID", "another")
    assert (said(), Walk().model(model)) == before
