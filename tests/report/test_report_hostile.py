"""Class, module, test and file names that attack each output."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from htp_sample_results import ENVIRONMENT, HOSTILE, build_report, first_page, hostile_results
from msgspec.structs import replace

from pytest_htp.report.github import github_annotations
from pytest_htp.report.junit import junit_properties
from pytest_htp.report.markdown import code, render_markdown, text
from pytest_htp.report.model import dump_report
from pytest_htp.report.pytest_html import html_extras
from pytest_htp.report.result import Report
from pytest_htp.report.terminal import summary_lines


@pytest.fixture(scope="module")
def report() -> Report:
    environment = {**ENVIRONMENT, **{value: value for value in HOSTILE}}
    lost = [{"nodeid": text, "outcome": "lost", "message": text, "file": text, "line": 1} for text in HOSTILE]
    return build_report(hostile_results(), environment, notes=HOSTILE, incomplete=lost)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def assert_inert(output: str) -> None:
    assert output.replace("\n", "").isprintable()


def test_page_is_inert(report: Report) -> None:
    page = first_page(report)
    page.encode("utf-8")
    assert_inert(page)
    assert page.count("<script") == 1
    tags = Tags(page)
    assert "img" not in tags.names
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert "alert(1)" in page  # shown, as text
    assert "{{ 7*7 }}{% raw %}" in page
    assert len(page) < 400_000


def test_page_links_only_where_it_may(report: Report) -> None:
    assert 'href="exports' not in first_page(report)  # all the artifacts' paths lead elsewhere


def test_summary_is_inert(report: Report) -> None:
    summary = render_markdown(report)
    summary.encode("utf-8")
    assert_inert(summary.replace("\u200b", ""))
    outside = re.sub(r"(?ms)^(`{3,})sh\n.*?^\1$", "", summary)
    assert Tags(outside).names <= {"details", "summary", "code", "br"}
    assert not re.search(r"@(?=\w)|(?<!&)#(?=\w)(?!#)", outside.replace("### ", ""))
    assert "](" not in outside
    assert "https://" not in outside
    rows = [line for line in summary.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} == {8}
    assert not [line for line in summary.splitlines() if line.startswith(("# ", "::"))]


def test_markdown_renders_back_to_the_name() -> None:
    name = "a|b`c`<d>_e_*f*[g](h)\\"
    assert unescape(code(name)) == f"<code>{name}</code>"
    assert unescape(text("by @octocat in #12")) == "by @\u200boctocat in #\u200b12"


def test_annotations_are_inert(report: Report) -> None:
    lines = github_annotations(report, environ={"GITHUB_ACTIONS": "true"})
    assert len(lines) == 10
    for line in lines:
        assert_inert(line)
        assert "\n" not in line
        assert "##[" not in line
        properties = re.fullmatch(r"::error file=([^:,]*),line=12,title=([^:,]*)::.*", line)
        assert properties is not None
        assert len(line) < 8_000
    alone = replace(report, exports=[])
    lines = github_annotations(alone, environ={"GITHUB_ACTIONS": "true"})
    assert len(lines) == 10
    for line in lines:
        assert_inert(line)
        assert "##[" not in line
        assert re.fullmatch(r"::error file=([^:,]*),line=1,title=([^:,]*)::.*", line)


def test_terminal_is_inert(report: Report) -> None:
    for line, _ in summary_lines(report, html="htp-report/index.html"):
        assert_inert(line)
        assert "\n" not in line
        assert not line.strip().startswith("::")
        assert "##[" not in line


def test_other_outputs_are_inert(report: Report) -> None:
    dump_report(report).encode("ascii")
    assert junit_properties(report.exports)[0] == ("htp.verdict", "breaking")
    for extra in html_extras(report.exports):
        assert_inert(extra["content"])
        assert Tags(extra["content"]).names.isdisjoint({"script", "img"})
