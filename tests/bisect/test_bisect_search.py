"""The search, without running anything."""

from __future__ import annotations

from itertools import chain
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.bisect.search import Bracket, Outcome, first_bad, guilty


@st.composite
def rows(draw: st.DrawFn) -> tuple[int, int]:
    count = draw(st.integers(2, 3000))
    return count, draw(st.integers(1, count - 1))


@given(rows())
def test_the_first_bad_version_is_found_in_few_rounds(row: tuple[int, int]) -> None:
    count, first = row
    tried: list[int] = []

    def probe(place: int) -> Outcome:
        tried.append(place)
        return Outcome.BAD if place >= first else Outcome.GOOD

    assert first_bad(count, probe) == Bracket(first - 1, first)
    assert len(tried) <= ceil(log2(count - 1)) <= log2(count) + 1
    assert len(set(tried)) == len(tried)


@given(rows(), st.sets(st.integers(1, 40)))
def test_versions_that_cannot_be_tried_are_named_where_they_matter(row: tuple[int, int], broken: set[int]) -> None:
    count, first = row
    broken -= {count - 1}
    tried: list[int] = []

    def probe(place: int) -> Outcome:
        tried.append(place)
        return Outcome.UNKNOWN if place in broken else Outcome.BAD if place >= first else Outcome.GOOD

    found = first_bad(count, probe)
    assert found.good < first <= found.bad
    assert set(found.unknown) == set(range(found.good + 1, found.bad)) <= broken
    assert len(set(tried)) == len(tried) <= ceil(log2(count - 1)) + len(broken)


@given(st.integers(1, 12), st.data())
def test_the_guilty_packages_are_all_that_are_needed(count: int, data: st.DataObject) -> None:
    names = tuple(f"p{number}" for number in range(count))
    culprits = data.draw(st.sets(st.sampled_from(names), min_size=1))
    assert set(guilty(names, lambda tried: Outcome.BAD if culprits <= set(tried) else Outcome.GOOD)) == culprits


@given(st.integers(1, 40), st.data())
def test_one_guilty_package_takes_few_rounds(count: int, data: st.DataObject) -> None:
    names = tuple(f"p{number}" for number in range(count))
    culprit = data.draw(st.sampled_from(names))
    tried: list[tuple[str, ...]] = []

    def probe(some: tuple[str, ...]) -> Outcome:
        tried.append(some)
        return Outcome.BAD if culprit in some else Outcome.GOOD

    assert guilty(names, probe) == (culprit,)
    assert len(tried) <= 2 * ceil(log2(count or 1))


@given(st.integers(2, 6), st.data())
def test_without_any_of_the_guilty_packages_the_change_is_not_there(count: int, data: st.DataObject) -> None:
    names = tuple(f"p{number}" for number in range(count))
    causes = data.draw(st.lists(st.sets(st.sampled_from(names), min_size=1), min_size=1, max_size=3))

    def probe(some: tuple[str, ...]) -> Outcome:
        return Outcome.BAD if any(cause <= set(some) for cause in causes) else Outcome.GOOD

    if probe(names) is not Outcome.BAD:
        return
    found = guilty(names, probe)
    assert probe(found) is Outcome.BAD
    assert found == tuple(name for name in names if name in found), "in the order in which they were given"
    for left_out in found:
        assert len(found) == 1 or probe(tuple(name for name in found if name != left_out)) is not Outcome.BAD
    assert set(found) <= set(chain(*causes))
