from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from htp_sample_results import (
    CONSOLE_HTML,
    ENVIRONMENT,
    build_report,
    first_page,
    large_results,
    record,
    result,
    row,
    sample_results,
)

from pytest_htp.report.console import CONSOLE_LIMIT, console_html
from pytest_htp.report.markdown import render_markdown
from pytest_htp.report.terminal import summary_lines


@pytest.fixture(scope="module")
def page() -> str:
    return first_page(build_report(sample_results(), ENVIRONMENT, notes=["worker gw1 crashed"]))


class Outline(HTMLParser):
    """Start tags, and whether every element that needs an end has one."""

    void = frozenset({"meta", "link", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, self.getpos()


def test_markup_is_balanced_and_ids_are_unique(page: str) -> None:
    outline = Outline(page)
    assert outline.stack == []
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    links = [
        attrs.get("href") or attrs.get("src") for _, attrs in Outline(page).tags if "href" in attrs or "src" in attrs
    ]
    assert links
    assert all(re.match(r"#|data:,|exports/", link or "") for link in links)
    assert "@import" not in page
    assert "url(" not in page


def test_policy_allows_exactly_the_pages_own_style_and_script(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed
    for element in ("style", "script"):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in allowed
    assert not [tag for tag, attrs in Outline(page).tags if "style" in attrs or any(a[:2] == "on" for a in attrs)]


def test_overview_lists_every_export_worst_first(page: str) -> None:
    names = re.findall(r'<th scope="row" role="rowheader"><a href="#(e-\w+)">([^<]*)</a>', page)
    assert len(names) == 11
    assert names[0][1] == "test_llama[meta-llama/Llama-3-8B]"
    assert all(f'id="{anchor}"' in page for anchor, _ in names)
    assert "worker gw1 crashed" in page


def test_changed_exports_are_open_and_unchanged_closed(page: str) -> None:
    states = re.findall(r'<article [^>]*data-verdict="([^"]*)">\s*<details( open)?>', page)
    assert {(verdict, bool(is_open)) for verdict, is_open in states} == {
        ("breaking", True),
        ("regression", True),
        ("drift", True),
        ("improvement", True),
        ("no baseline", True),
        ("unchanged", False),
    }


def test_findings_come_before_the_tree_and_changes_are_shown(page: str) -> None:
    bert = page[page.index("Gelu is no longer one node") :]
    assert bert.index("<h4>Modules</h4>") > 0
    assert '<tr><th scope="row">operators</th><td>Gelu 1</td><td>Add 1, Div 1, Erf 1, Mul 2</td></tr>' in page
    assert "2 nodes without any evidence belong to no module: Identity 2" in page
    assert "failed at model tracing" in page
    assert "✗ contradicted" in page
    assert "Not measured: onnxruntime is not installed" in page


def test_a_failed_export_offers_no_acceptance() -> None:
    failed = result(
        "t",
        None,
        verdict="breaking",
        error={"step": "onnx_export", "type": "RuntimeError", "message": "no"},
    )
    page = first_page(build_report([failed], {}))
    assert "Reproduce" in page
    assert "Accept the change" not in page


@pytest.mark.parametrize(
    ("status", "verdict", "title"),
    [
        ("missing", "unchanged", "Create the baseline"),
        ("error", "unchanged", "Replace the baseline"),
        ("changed", "drift", "Accept the change"),
        ("changed", "unchanged", None),
        ("unchanged", "unchanged", None),
        ("created", "unchanged", None),
        ("updated", "drift", None),
        ("off", "unchanged", None),
    ],
)
def test_acceptance_is_offered_where_there_is_something_to_accept(status: str, verdict: str, title: str | None) -> None:
    clean = record([row("", "M", {"Add": 1})], "M")
    one = result("t", clean, clean, baseline_status=status, verdict=verdict, outcome="failed")
    report = build_report([one], {})
    for output in (first_page(report), render_markdown(report)):
        assert ("--snapshot-update" in output) is (title is not None)
    told = any("--snapshot-update" in line for line, _ in summary_lines(report))
    assert told is (title is not None and status != "error")  # what is wrong with it is told by pytest
    if title is not None:
        assert f"<h4>{title}</h4>" in first_page(report)


def test_an_empty_run_says_so() -> None:
    assert "No test of this run exported a model." in first_page(build_report([], {}))


def test_twenty_unfolded_exports_stay_under_three_megabytes() -> None:
    page = first_page(build_report(large_results(20, 5_000, 1_000), ENVIRONMENT))
    assert len(page.encode()) < 3_000_000
    assert "more rows with" in page


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        (
            '<pre><span style="color: #008000; font-weight: bold">a</span></pre>',
            '<span class="cg cb">a</span>',
        ),
        ('<span style="color: #7f7f7f">a</span>', '<span class="cd">a</span>'),
        ('<span style="background: url(//x)" onclick="x()">a</span>', "<span>a</span>"),
        ("<script>alert(1)</script>b", "alert(1)b"),
        ("a &lt;b&gt; &#8238;x&#27;", r"a &lt;b&gt; \u202ex"),
        ("</span></span>a<span>b", "a<span>b</span>"),
        ("<<span>img src=x>", "&lt;<span>img src=x&gt;</span>"),
    ],
)
def test_console_fragments_are_rebuilt(fragment: str, expected: str) -> None:
    assert str(console_html(fragment, "")) == expected


def test_console_falls_back_to_plain_text_and_is_cut() -> None:
    assert str(console_html(None, "a <b>\x1b\n")) == "a &lt;b&gt;\\x1b\n"
    long = str(console_html(None, "x" * CONSOLE_LIMIT * 2))
    assert len(long) < CONSOLE_LIMIT + 100
    assert "the rest of the log is in" in long
    cut = str(console_html("<span>" + "x" * CONSOLE_LIMIT + "</span>y" * 2, ""))
    assert cut.count("<span>") == cut.count("</span>")
    assert "STEP 5/8" in str(console_html(CONSOLE_HTML, ""))


def test_where_an_error_enters_is_shown_in_the_facts_and_in_the_tree() -> None:
    today = sample_results()[0]["record"]
    assert today is not None
    module = today["modules"][-1]["path"]
    parity = {**today["parity"], "first_divergence": module, "divergence": "1e-02", "failed_on": ["other sizes"]}
    one = result("test_bert", {**today, "parity": parity})
    beyond = {"name": "last_hidden_state", "max_abs": 0.012345678, "max_rel": 0.0098765, "beyond": 0.5}
    one["parity"] = {
        "measured": True,
        "outputs": [{**beyond, "max_abs": 7.152557e-07, "beyond": 0.0}],
        "input_sets": {"other sizes": [beyond], "padding": [{**beyond, "beyond": 0.0}]},
        "first_divergence": {"module": module, "call": 0, "max_abs": 0.3, "max_rel": 0.0123456},
        "failed": ["last_hidden_state"],
    }
    page = first_page(build_report([one], ENVIRONMENT))
    facts = page[page.index("Parity with PyTorch") :]
    assert f"<code>{module}</code> relative 0.0123" in facts
    assert re.search(r'other sizes <span class="state">beyond tolerance</span>, padding</dd>', facts)
    assert "absolute 7.15e-07, relative 0.00988" in facts
    assert page.count("✗ an error enters here (1e-02)") == 1


def failed_export(message: str, **more: object) -> dict[str, object]:
    error = {"step": "model_tracing", "type": "RuntimeError", "message": message}
    return result("t", None, verdict="breaking", outcome="failed", error=error, **more)


def test_lines_of_an_error_are_lines_and_its_colours_are_gone() -> None:
    report = build_report([failed_export("first\n\x1b[96msecond\x1b[0m <b>\u202e\n\nthird")], {})
    page, summary = first_page(report), render_markdown(report)
    assert r"first<br>second &lt;b&gt;\u202e<br><br>third</p>" in page
    assert r"first<br>second &#60;b&#62;&#92;u202e<br><br>third" in summary
    assert "x1b" not in page + summary
    assert "first&#92;n" not in summary
    assert str(console_html(None, "\x1b[1mbold\x1b[0m")) == "bold"


def test_skipped_steps_took_no_time() -> None:
    steps = {
        "model_preparation": {"status": "failed", "seconds": 0.5},
        "onnx_export": {"status": "skipped", "seconds": 0.0},
    }
    page = first_page(build_report([failed_export("no", steps=steps)], {}))
    assert '<td>skipped</td><td class="r">–</td>' in page
    assert "0.0 ms" not in page


@pytest.mark.parametrize(("count", "many"), [(50, False), (51, True)])
def test_only_a_long_page_leaves_exports_undrawn(count: int, many: bool) -> None:
    """A screenshot of the whole page shows empty boxes for them."""
    page = first_page(build_report([result(f"t{number}", None) for number in range(count)], {}))
    assert ('<section id="exports" class="many"' in page) is many
    assert page.count("content-visibility:auto") == page.count("\n.many .export{content-visibility:auto") == 1
