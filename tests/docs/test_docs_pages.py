"""The README and every page under docs/: what they show is what happens."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from htp_docs_pages import EXECUTABLE, apply_diff, blocks_of, commands_of, is_excerpt
from htp_docs_runner import Page, PageError, output_matches
from htp_docs_tables import TABLES, command_line, ini, tables_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages whose snippets are tested beside what they describe, not here.
TESTED_ELSEWHERE = {
    "docs/how-to/ci-workflows.md",  # tests/report/test_ci_recipes.py
    "docs/how-to/extend.md",
    "docs/reference/inference-rules.md",
    "docs/reference/parity.md",
    "docs/reference/zoo.md",
    "docs/reference/codes.md",
    "docs/reference/faults.md",
    "docs/reference/stage-faults.md",
    "docs/reference/manifest.md",
}
# Packages that have no wheel on some platforms.
NEEDS = {"docs/how-to/gate-for-an-npu-without-an-npu.md": ("onnxruntime_qnn", "openvino")}
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


OURS = [page for page in PAGES if _name(page) not in TESTED_ELSEWHERE]
RUN = [page for page in OURS if any(block.kind in EXECUTABLE for block in blocks_of(page))]


@pytest.mark.parametrize("page", RUN, ids=_name)
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    for package in NEEDS.get(_name(page), ()):
        if find_spec(package) is None:
            pytest.skip(f"the page compiles with {package}, which has no wheel for some platforms")
    Page(page, tmp_path).run()


@pytest.mark.parametrize("page", OURS, ids=_name)
def test_every_snippet_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks_of(page):
        if block.kind in EXECUTABLE:
            used = block.kind == "console" or block.options.keys() & {"file", "run"}
            assert used or block.options.get("skip"), f"{page.name}:{block.line} ({block.kind}) has no purpose"


def test_snippets_that_are_not_run_are_few() -> None:
    skipped = [(page.name, block.line) for page in OURS for block in blocks_of(page) if "skip" in block.options]
    assert len(skipped) <= 9, skipped


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in (match["target"] for match in _LINK.finditer(text)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{_name(page)}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), f"{_name(page)}: {target}"


def _anchors(file: Path) -> set[str]:
    """As GitHub makes them: lower case, punctuation dropped, spaces to hyphens."""
    headings = _HEADING.findall(file.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_generated_tables_are_current(page: Path) -> None:
    for name, content in tables_of(page.read_text(encoding="utf-8")):
        update = f"python tests/docs/htp_docs_runner.py {_name(page)} --update"
        assert content == TABLES[name](), f"the table {name!r} of {page.name} is out of date; run: {update}"


def test_the_reference_has_every_generated_table() -> None:
    texts = [page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")]
    assert {name for text in texts for name, _ in tables_of(text)} == set(TABLES)


def test_the_readme_names_every_command_line_option() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for option in re.findall(r"`(--htp[\w-]+)", command_line()):
        assert option in readme


def test_every_ini_setting_is_explained_on_some_page() -> None:
    prose = re.sub(r"^\|.*$", "", "".join(page.read_text(encoding="utf-8") for page in PAGES), flags=re.MULTILINE)
    for setting in re.findall(r"^\| `(htp_\w+)", ini(), re.MULTILINE):
        assert setting in prose, f"{setting} is only in a table"


class TestRunner:
    """The runner itself must not let a wrong page pass."""

    def test_output_is_compared(self) -> None:
        assert output_matches("1 passed in 0.12s\n", "1 passed in 14.30s\n")
        assert output_matches("a\n...\nc\n", "a\nb\nb\nc\n")
        assert not output_matches("a\n...\nd\n", "a\nb\nb\nc\n")
        assert not output_matches("a\n...\nb\n...\nc\n", "a\nc\n")
        assert not output_matches("2 findings\n", "3 findings\n")
        assert not output_matches("", "printed\n")

    def test_a_diff_must_fit(self) -> None:
        assert apply_diff("a\nb\nc\n", " a\n-b\n+x\n@@\n-c\n") == "a\nx\n"
        with pytest.raises(ValueError, match="0 times"):
            apply_diff("a\nb\n", "-c\n+d\n")

    def test_an_excerpt_must_be_in_order(self) -> None:
        assert is_excerpt("a\n...\nc\n", "a\nb\nc\n")
        assert not is_excerpt("c\na\n", "a\nb\nc\n")

    def test_a_wrong_page_fails(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("```console\n$ ls\nnothing\n```\n", encoding="utf-8")
        with pytest.raises(PageError, match=r"page\.md:1: ls"):
            Page(page, tmp_path).run()

    def test_commands_are_split(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("```console\n$ htp compare \\\n    a b\nout\n$ ls\n```\n", encoding="utf-8")
        assert commands_of(next(blocks_of(page))) == [("htp compare a b", "out\n"), ("ls", "")]
