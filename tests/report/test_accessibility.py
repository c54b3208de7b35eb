"""The page in a real browser: axe-core, narrow and wide, light and dark, with and without script.

Needs Debian's ``chromium``. axe-core comes with the extra ``dev`` (4.4); a newer one from npm goes before it
(``npm install --prefix DIR axe-core``, then ``HTP_AXE=DIR/node_modules/axe-core/axe.min.js``, or a ``node_modules``
beside or above this folder).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from htp_report_browser import Browser, browser, find_axe, find_chromium
from htp_sample_results import ENVIRONMENT, build_report, first_page, hostile_results, sample_results

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no chromium is installed")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, results in (("sample", sample_results()), ("hostile", hostile_results()), ("empty", [])):
        found[name] = folder / f"{name}.html"
        found[name].write_text(first_page(build_report(results, ENVIRONMENT)), "utf-8")
    return found


def violations(tab: Browser) -> list[str]:
    axe = find_axe()
    assert axe is not None
    tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    tab.evaluate(axe.read_text("utf-8") + ";0")
    found: list[dict[str, Any]] = json.loads(
        tab.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.map("
            "v => ({id: v.id, nodes: v.nodes.map(n => n.html.slice(0, 200) + ' ' + n.failureSummary)}))))"
        )
    )
    return [f"{item['id']}: {item['nodes'][:3]}" for item in found]


@pytest.mark.skipif(find_axe() is None, reason="no axe-core: pip install axe-core-python, or set HTP_AXE to axe.min.js")
@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        ("sample", 1280, False),
        ("sample", 1280, True),
        ("sample", 390, False),
        ("sample", 390, True),
        ("hostile", 390, True),
        ("empty", 1280, False),
    ],
)
def test_axe_finds_no_violation(tab: Browser, pages: dict[str, Path], name: str, width: int, dark: bool) -> None:
    tab.open(pages[name], width=width, dark=dark)
    assert violations(tab) == []


@pytest.mark.skipif(find_axe() is None, reason="no axe-core: pip install axe-core-python, or set HTP_AXE to axe.min.js")
def test_axe_sees_the_last_export_too(tab: Browser, pages: dict[str, Path]) -> None:
    """The check itself works: a spoilt contrast below the fold, in a closed export, is found."""
    tab.open(pages["sample"])
    tab.evaluate("[...document.querySelectorAll('.steps th')].at(-1).style.color = '#ccc'")
    (found,) = violations(tab)
    assert found.startswith("color-contrast")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["sample", "hostile"])
def test_page_fits_asks_for_nothing_and_obeys_its_policy(
    tab: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    tab.open(pages[name], width=width)
    tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.requests() == [pages[name].as_uri()]
    assert tab.complaints() == []


def test_page_is_whole_without_script(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["sample"], script=False)
    document = tab.call("DOM.getDocument")["root"]["nodeId"]

    def count(selector: str) -> int:
        return len(tab.call("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"])

    assert count("article.export") == count(".overview tbody tr") == 11
    assert count("form[hidden]") == 1
    assert count("button.copy:not([hidden])") == 0


def test_search_filters_exports_and_opens_the_way_to_a_module(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["sample"])
    assert tab.evaluate("document.getElementById('filter').hidden") is False
    tab.evaluate("document.getElementById('q').value = 'LlamaRotary'")
    tab.evaluate("document.getElementById('q').dispatchEvent(new Event('input'))")
    tab.evaluate("new Promise(done => setTimeout(done, 300))")
    shown = "[...document.querySelectorAll('article.export:not([hidden]) h3')].map(e => e.textContent.trim())"
    (only,) = tab.evaluate(shown)
    assert "test_llama" in only
    assert tab.evaluate("document.querySelectorAll('.tree .hit').length") == 1
    assert tab.evaluate("document.getElementById('found').textContent") == "1 of 11 shown, 1 module found"
    assert tab.evaluate("document.querySelectorAll('.overview tbody tr:not([hidden])').length") == 1
    tab.evaluate("document.querySelector('input[value=breaking]').click()")
    assert tab.evaluate("document.getElementById('nothing').hidden") is False


def test_a_link_opens_a_closed_export(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["sample"])
    link = "document.querySelector('tr[data-verdict=unchanged] a')"
    details = f"document.getElementById({link}.getAttribute('href').slice(1)).closest('details').open"
    assert tab.evaluate(details) is False
    tab.evaluate(f"{link}.click()")
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert tab.evaluate(details) is True


def test_everything_that_acts_can_be_reached_with_the_keyboard(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["sample"])
    unreachable = (
        "[...document.querySelectorAll('a,button,input,summary,pre')].filter(e => e.checkVisibility() && "
        "e.tabIndex < 0).length"
    )
    assert tab.evaluate(unreachable) == 0
    tab.evaluate("document.querySelector('button.copy').focus()")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
