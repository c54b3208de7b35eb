"""Tensor descriptions: what is read, and where a wrong one is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp import HTPUsageError
from pytest_htp.capture.inputs.spec import DTYPES, TensorSpec, parse_spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int64[batch=2, seq=16]", TensorSpec("int64", (2, 16), ("batch", "seq"))),
        ("float32[batch=2, 3, 32, 32]", TensorSpec("float32", (2, 3, 32, 32), ("batch", None, None, None))),
        ("  bfloat16 [ 4 ,n ] ", TensorSpec("bfloat16", (4, 8), (None, "n"))),
        ("bool[batch]", TensorSpec("bool", (2,), ("batch",))),
        ("float16[]", TensorSpec("float16", (), ())),
        ("float32[n=3, n=3, 0]", TensorSpec("float32", (3, 3, 0), ("n", "n", None))),
    ],
)
def test_specs_are_read(text: str, expected: TensorSpec) -> None:
    assert parse_spec(text) == expected
    assert parse_spec(text).dynamic_axes == {i: n for i, n in enumerate(expected.names) if n}


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("flaot32[2]", 1, "unknown element type 'flaot32', known are bool, uint8"),
        ("", 1, "expected an element type"),
        ("float32", 8, r"expected '\['"),
        ("float32[2", 10, "expected ',' or ']'"),
        ("float32[2,", 11, "expected a size or the name"),
        ("float32[2 3]", 11, "expected ',' or ']'"),
        ("float32[batch=]", 15, "expected a size"),
        ("float32[batch=-1]", 15, "expected a size"),
        ("float32[batch=1]", 15, "needs an example size of at least 2"),
        ("float32[n=2, n=3]", 16, "axis 'n' has two sizes"),
        ("float32[2] x", 11, "nothing may follow"),
        ("float32[é]", 9, "expected a size or the name"),
        ("float32[100000, 100000]", 1, "are too many"),
        ("float32[" + "1," * 20 + "1]", 1, "21 axes are too many"),
        ("float32[" + "9" * 5000 + "]", 9, "more than 12 digits"),
    ],
)
def test_a_wrong_spec_names_the_place(text: str, position: int, problem: str) -> None:
    with pytest.raises(HTPUsageError, match=f"at position {position}: .*{problem}") as caught:
        parse_spec(text)
    assert len(str(caught.value)) < 500


@given(st.text(max_size=60) | st.from_regex(r"(int64|float32)\[[a-z0-9=, ]{0,20}\]?", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    message = ""
    try:
        spec = parse_spec(text)
    except HTPUsageError as error:
        message = str(error)
    else:
        assert spec.dtype in DTYPES
        assert len(spec.names) == len(spec.shape)
    assert message.isprintable()
