"""Names of baselines: inside their folder, within limits, different for different tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.baseline.naming import (
    artifact_stem,
    baseline_path,
    baseline_stem,
    digest,
    slug_and_digest,
    slug_of_test,
    slugify,
)

# Anything a test id may hold: path parts, control characters, lone surrogates, thousands of characters.
ids = st.one_of(
    st.text(st.characters(), max_size=60),
    st.text(st.sampled_from('a/.\\:*?"<>|\0\n\r\t -_%[]{}@'), max_size=40),
    st.integers(0, 5000).map(lambda n: "x" * n),
    st.sampled_from(["", ".", "..", "../../etc/passwd", "con", "NUL", "a/b", "A/B", "é", "e\u0301", "\ud800"]),
)
ALLOWED = re.compile(r"[a-z0-9_][a-z0-9_-]*-[0-9a-f]{8}\.json")


@given(ids, ids, ids)
def test_a_baseline_is_a_plain_file_in_its_folder(test_id: str, name: str, variant: str) -> None:
    test_file = Path("/project/tests/test_m.py")
    path = baseline_path(test_file, test_id, name, variant)
    folder = Path("/project/tests/__htp_baselines__/test_m")
    assert path.parent == (folder / slugify(variant) if variant else folder)
    assert ALLOWED.fullmatch(path.name)
    assert len(path.name) <= 120
    assert len(str(path.relative_to(folder)).encode()) <= 255


@given(st.lists(st.tuples(ids, ids), min_size=2, max_size=8, unique=True))
def test_different_exports_have_different_files_also_where_case_is_ignored(
    pairs: list[tuple[str, str]],
) -> None:
    stems = [baseline_stem(test_id, name) for test_id, name in pairs]
    assert len({stem.lower() for stem in stems}) == len(pairs)


@given(ids, ids)
def test_a_file_tells_its_test(test_id: str, name: str) -> None:
    found = slug_and_digest(f"{baseline_stem(test_id, name)}.json")
    assert found is not None
    assert found[1] == digest(test_id)
    assert name or found[0] == slug_of_test(test_id)
    assert baseline_stem(test_id, name) == baseline_stem(test_id, name)


@given(ids)
def test_slugs_are_stable_and_never_empty(text: str) -> None:
    slug = slugify(text)
    assert re.fullmatch(r"[a-z0-9_-]{1,80}", slug)
    assert slugify(slug) == slug


@given(st.text(max_size=300))
def test_names_that_are_not_ours_have_no_test(name: str) -> None:
    assert slug_and_digest(name) is None or re.fullmatch(r"(?s).+-[0-9a-f]{8}\.json", name)


@pytest.mark.parametrize("name", ["README.json", "x.json", "x-0123abcd.txt", "x-0123ABCD.json", "-0123abcd.json"])
def test_such_as(name: str) -> None:
    assert slug_and_digest(name) is None


def test_reports_tell_equally_named_tests_of_two_files_apart() -> None:
    stems = {artifact_stem(f"tests/{folder}/test_m.py::test_x", "") for folder in "ab"}
    assert len(stems) == 2
    assert all(stem.startswith("test_x-") for stem in stems)
