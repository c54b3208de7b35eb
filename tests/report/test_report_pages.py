"""A report of many exports: pages of a hundred, every export on one of them and linked from the first."""

from __future__ import annotations

import copy
import gc
import re
from pathlib import Path

import pytest
from htp_sample_results import ENVIRONMENT, Result, build_report, sample_results

from pytest_htp.cycles import no_search_for_cycles
from pytest_htp.report.html import PAGE_SIZE, render_pages
from pytest_htp.report.result import Report
from pytest_htp.report.tree import TreeNode
from pytest_htp.report.write import write_reports

REGRESSED, UNCHANGED = (
    next(result for result in sample_results() if result["verdict"] == verdict)
    for verdict in ("regression", "unchanged")
)


def numbered(result: Result, number: int) -> Result:
    return {**copy.deepcopy(result), "nodeid": f"tests/test_many.py::test_{number:03}", "name": f"test_{number:03}"}


def report_of(count: int) -> Report:
    """The last export regressed, the others are unchanged."""
    rows = [numbered(UNCHANGED, number) for number in range(count - 1)]
    return build_report([*rows, numbered(REGRESSED, count - 1)], ENVIRONMENT)


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (PAGE_SIZE, 1), (PAGE_SIZE + 1, 2), (2 * PAGE_SIZE + 1, 3)])
def test_a_hundred_exports_a_page(count: int, pages: int) -> None:
    names = [name for name, _ in render_pages(report_of(count))]
    assert names == ["index.html", "exports-2.html", "exports-3.html"][:pages]


def test_pages_are_written_without_a_search_for_cycles(tmp_path: Path) -> None:
    report, threshold = report_of(PAGE_SIZE + 1), gc.get_threshold()
    gc.set_threshold(700)  # Python's own
    try:
        before = sum(generation["collections"] for generation in gc.get_stats())
        write_reports(report, tmp_path)
        searches = sum(generation["collections"] for generation in gc.get_stats()) - before
    finally:
        gc.set_threshold(*threshold)
    assert searches <= 2, "one before and one behind it are not its own"


def test_what_a_page_showed_ends_with_it() -> None:
    gc.collect()
    with no_search_for_cycles():
        for _ in render_pages(report_of(PAGE_SIZE + 1)):
            pass
        assert TreeNode not in {type(value) for value in gc.get_objects()}


def test_one_page_says_nothing_of_pages() -> None:
    ((_, text),) = render_pages(report_of(PAGE_SIZE))
    assert "Page 1 of" not in text
    assert "by name" not in text


def test_what_needs_a_look_comes_first_and_every_export_is_linked_from_there() -> None:
    count = PAGE_SIZE + 3
    pages = dict(render_pages(report_of(count)))
    index = pages["index.html"]
    assert f"test_{count - 1:03}" in index.partition("<article")[2].partition("</article>")[0]
    listed = index[index.index('<details class="all">') :].partition("</details>")[0]
    links = re.findall(r'<a href="([^#"]*)#([^"]+)">(test_\d+)</a>', listed)
    assert [name for *_, name in links] == [f"test_{number:03}" for number in range(count)]
    for page, anchor, name in links:
        body = pages[page or "index.html"]
        article = body[: body.index(f'<div id="{anchor}"')].rpartition("<article")[2]
        assert f"::{name}" in article


def test_pages_link_to_each_other() -> None:
    pages = dict(render_pages(report_of(PAGE_SIZE + 1)))
    assert '<a href="exports-2.html">2</a>' in pages["index.html"]
    assert '<a href="index.html">1</a>' in pages["exports-2.html"]
    assert '<strong aria-current="page">2</strong>' in pages["exports-2.html"]


def test_pages_of_a_larger_report_before_are_removed(tmp_path: Path) -> None:
    write_reports(report_of(2 * PAGE_SIZE + 1), tmp_path)
    (tmp_path / "exports-list.html").write_text("somebody's own")
    write_reports(report_of(PAGE_SIZE + 1), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["exports-2.html", "exports-list.html", "index.html", "report.json", "summary.md"]


def test_a_report_that_fails_midway_leaves_the_old_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reports(report_of(PAGE_SIZE + 1), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(report: Report) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_htp.report.write.render_markdown", full)
    with pytest.raises(Exception, match="No space left on device"):
        write_reports(report_of(3), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
