"""The tag grammar: tag and (module path, class names) determine each other, whatever the names."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_htp import HierarchyTag

# Class names may hold anything (``type("a.b/c", …)``), module names anything but a dot and the empty string.
classes = st.text(min_size=1, max_size=8)
names = st.text(min_size=1, max_size=8).filter(lambda name: "." not in name)
relative = st.lists(names, min_size=1, max_size=3).map(".".join)
chains = st.tuples(classes, st.lists(st.tuples(classes, relative), max_size=4))


def _tag(chain: tuple[str, list[tuple[str, str]]]) -> HierarchyTag:
    root, rest = chain
    return HierarchyTag(((root, ""), *rest))


@settings(deadline=None)
@given(chains)
@example(("%", [("a.b/c", "x/y"), ("C%2E", "%2F.tab\there")]))
@example(("層", [("Größe", "\u200b\u2028.0"), ("\ud800", "\udfff")]))
def test_round_trip(chain: tuple[str, list[tuple[str, str]]]) -> None:
    tag = _tag(chain)
    text = str(tag)
    assert HierarchyTag.parse(text) == tag
    assert text.isprintable()
    assert not any(character.isspace() for character in text)
    assert tag.depth == text.count("/") == len(tag.classes)
    assert tag.classes == (chain[0], *(name for name, _ in chain[1]))
    assert tag.module_path == ".".join(path for _, path in chain[1])


@settings(deadline=None)
@given(chains, chains)
def test_different_modules_never_share_a_tag(
    first: tuple[str, list[tuple[str, str]]], second: tuple[str, list[tuple[str, str]]]
) -> None:
    assert (_tag(first) == _tag(second)) == (str(_tag(first)) == str(_tag(second)))


@settings(deadline=None)
@given(chains)
def test_from_modules_is_the_inverse_of_module_paths(chain: tuple[str, list[tuple[str, str]]]) -> None:
    tag = _tag(chain)
    assert HierarchyTag.from_modules(zip(tag.module_paths, tag.classes, strict=True)) == tag


def test_the_example_of_the_page_on_tags() -> None:
    tag = HierarchyTag.parse("/BertModel/BertEncoder.encoder/BertLayer.layer.0/BertAttention.attention")
    assert tag.module_path == "encoder.layer.0.attention"
    assert tag.classes == ("BertModel", "BertEncoder", "BertLayer", "BertAttention")
    assert tag.depth == 4
    assert tag.module_paths == ("", "encoder", "encoder.layer.0", "encoder.layer.0.attention")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BertModel",
        "/",
        "//",
        "/A/",
        "/A.b",
        "/A/B",
        "/A/.b",
        "/A/B.",
        "/A%2",
        "/A%2e",
        "/A/B.%ff",
        "/A/B.%41",
        "/A/B.with space",
        "/A/B.x\ty",
        None,
        7,
    ],
)
def test_what_does_not_fit_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="tag"):
        HierarchyTag.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "modules",
    [
        [],
        [("a", "A")],
        [("", "A"), ("", "B")],
        [("", "A"), ("b", "B"), ("c", "C")],
        [("", "A"), ("b", "B"), ("bc", "C")],
    ],
)
def test_modules_that_are_not_nested_have_no_tag(modules: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"tag|inside"):
        HierarchyTag.from_modules(modules)
