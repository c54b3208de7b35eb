from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from pytest_htp import HTPConsoleWriter, HTPExportData, HTPExportStep, ModuleInfo
from pytest_htp.monitor.module_tree import ModuleTree
from pytest_htp.monitor.text import cells


def log_all(writer: HTPConsoleWriter, data: HTPExportData) -> HTPConsoleWriter:
    for step in HTPExportStep:
        writer.write(step, data)
    writer.finish(data)
    return writer


def terminal(**options: Any) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    settings = {"force_terminal": True, "color_system": "truecolor", "width": 80, "legacy_windows": False}
    return Console(file=stream, _environ={}, **{**settings, **options}), stream


def test_every_step_has_a_heading_a_counter_and_its_facts(export_data: HTPExportData) -> None:
    log = log_all(HTPConsoleWriter(verbose=False), export_data).get_output()
    for step in HTPExportStep:
        assert f"{'─' * 80}\nSTEP {step.number}/8  {step.title.upper()}\n" in log
        assert f"✓ completed in {step.number / 8:.2f} s" in log
    for fact in ("4,385,920", "input_ids  INT64 [batch, 16]", "last_hidden_state  FLOAT [batch, ?, 128]",
                 "99.08% of nodes", "123.5 kB", "17.5 MB", "not measured: onnxruntime is not installed",
                 "max abs 1e-05", "4.21 s", "layer.{0..11} BertLayer ×12"):  # fmt: skip
        assert fact in log
    assert "/somewhere" not in log
    assert "\x1b" not in log


def test_numbers_are_bold_cyan_only_where_style_numbers(export_data: HTPExportData) -> None:
    for styled in (True, False):
        console, stream = terminal()
        log_all(HTPConsoleWriter({"style_numbers": styled}, console=console), export_data)
        assert ("\x1b[1;36m4,385,920\x1b[0m" in stream.getvalue()) is styled
        assert ("\x1b[1;36m" in stream.getvalue()) is styled


def test_step_counters_are_coloured_by_status(export_data: HTPExportData) -> None:
    export_data.steps = {"model_preparation": {"status": "completed"}, "model_tracing": {"status": "failed"},
                         "model_save": {"status": "skipped"}}  # fmt: skip
    console, stream = terminal()
    log_all(HTPConsoleWriter(console=console), export_data)
    printed = stream.getvalue()
    assert "\x1b[32mSTEP 1/8\x1b[0m" in printed
    assert "\x1b[1;31mSTEP 4/8\x1b[0m" in printed
    assert "\x1b[33mSTEP 7/8\x1b[0m" in printed
    assert "\x1b[36mSTEP 2/8\x1b[0m" in printed  # no status known


def test_the_terminal_shows_what_the_log_keeps(export_data: HTPExportData) -> None:
    console, stream = terminal()
    writer = log_all(HTPConsoleWriter(console=console), export_data)
    assert re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()) == writer.get_output()


class CountingStream(io.StringIO):
    writes = 0

    def write(self, text: str) -> int:
        self.writes += bool(text)
        return super().write(text)


def test_batch_console_renders_once_at_the_end(export_data: HTPExportData) -> None:
    stream = CountingStream()
    writer = HTPConsoleWriter({"batch_console": True}, console=Console(file=stream, width=80))
    for step in HTPExportStep:
        writer.write(step, export_data)
    assert stream.writes == 0
    assert "STEP 8/8" in writer.get_output()  # the log is there before it is printed
    writer.finish(export_data)
    assert stream.writes == 1
    assert stream.getvalue() == writer.get_output()


@pytest.mark.parametrize("option", [{"max_display_nodes": 2}, {"max_tree_depth": 2}])
def test_trees_are_cut_and_say_so(export_data: HTPExportData, option: dict[str, int]) -> None:
    log = log_all(HTPConsoleWriter(option, verbose=False), export_data).get_output()
    assert "layer.{0..11}" not in log
    shown = "25 more modules not shown" if "max_display_nodes" in option else "(+24 modules below)"
    assert shown in log


class CountingWriter(HTPConsoleWriter):
    drawn = 0

    def draw_tree(self, tree: ModuleTree) -> list[Text]:
        self.drawn += 1
        return super().draw_tree(tree)


def test_trees_are_drawn_again_only_when_something_that_shapes_them_changed(
    new_data: Callable[..., HTPExportData],
) -> None:
    data = new_data()
    cached, fresh = CountingWriter(verbose=False), CountingWriter({"enable_cache": False}, verbose=False)
    for writer in (cached, fresh):
        writer.write(HTPExportStep.HIERARCHY, data)
        writer.write(HTPExportStep.NODE_TAGGING, data)
    assert (cached.drawn, fresh.drawn) == (1, 2)
    changes: list[Callable[[], object]] = [
        lambda: data.tagged_nodes.update(node_0="/BertModel/BertEncoder.encoder"),  # in place, by the caller
        lambda: data.node_details["node_1"].update(evidence="inferred"),
        lambda: setattr(data.hierarchy["encoder"], "class_name", "Other"),
        lambda: data.hierarchy.update(extra=ModuleInfo("extra", "Extra", calls=1)),
        lambda: data.node_details.update(another={"evidence": "none"}),
    ]
    for count, change in enumerate(changes, start=2):
        change()
        for writer in (cached, fresh):
            writer.write(HTPExportStep.NODE_TAGGING, data)
        assert cached.drawn == count
    assert cached.get_output() == fresh.get_output()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp437", "shift_jis", "utf-8"])
def test_streams_that_cannot_encode_symbols_get_plain_characters(export_data: HTPExportData, encoding: str) -> None:
    export_data.model_name = "模型 é 🦄"
    export_data.hierarchy["encoder"].class_name = "Кодер"
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    writer = log_all(HTPConsoleWriter(console=Console(file=stream, width=80)), export_data)
    writer.write_error(HTPExportStep.TRACE, {"type": "Err€r", "message": "→ ∞"}, export_data)
    stream.flush()
    raw = stream.buffer.getvalue()  # type: ignore[attr-defined]
    printed = raw.decode(encoding)
    assert printed == writer.get_output()
    assert ("├─" in printed) is (encoding == "utf-8")
    if encoding == "ascii":
        assert r"\u6a21\u578b \xe9 \U0001f984" in printed
        assert "|- embeddings" in printed
        assert "+ completed" in printed


def test_no_line_exceeds_eighty_columns() -> None:
    long = "名前" * 300 + "x" * 5000
    data = HTPExportData(model_name=long, model_class=long, output_path=f"/a/{long}", exporter=long)
    data.inputs = [{"name": long, "dtype": long, "shape": [long, None]}] * 30
    data.hierarchy = {"": ModuleInfo("", long, calls=1), long: ModuleInfo(long, long, calls=1)}
    data.steps = {"model_tracing": {"status": long, "seconds": 3e9}}
    writer = log_all(HTPConsoleWriter(verbose=False), data)
    writer.write_error(HTPExportStep.SAVE, {"type": long, "message": f"{long}\n\n{long}"}, data)
    assert max(cells(line) for line in writer.get_output().splitlines()) <= 80
    assert "10 more not shown" in writer.get_output()
    assert "more characters" in writer.get_output()


def test_a_narrower_terminal_wraps() -> None:
    stream = io.StringIO()
    data = HTPExportData(model_name="n" * 60)
    HTPConsoleWriter(console=Console(file=stream, width=40)).write(HTPExportStep.MODEL_PREP, data)
    assert max(map(len, stream.getvalue().splitlines())) <= 40
    assert stream.getvalue().count("n") >= 60


def test_a_closed_or_broken_terminal_does_not_stop_the_log(export_data: HTPExportData) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    closed = io.StringIO()
    closed.close()
    for stream in (closed, Broken()):
        console = Console(file=stream, width=80)
        console.on_broken_pipe = _exit  # type: ignore[method-assign]
        writer = log_all(HTPConsoleWriter(console=console), export_data)
        assert "EXPORT COMPLETED" in writer.get_output()


def _exit() -> None:
    """What rich does on a broken pipe, but for closing this process's standard output."""
    raise SystemExit(1)


def test_html_is_one_inline_styled_escaped_fragment(export_data: HTPExportData) -> None:
    export_data.model_name = "<script>alert('x')</script>&\x1b[31m"
    html = log_all(HTPConsoleWriter(verbose=False), export_data).export_html()
    assert html.startswith('<pre class="htp-console" style="')
    assert html.rstrip().endswith("</pre>")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in html
    assert re.findall(r"<(?!/?span\b|/?pre\b)[a-z]", html) == []
    assert '<span style="color: #39c5cf; font-weight: bold">4,385,920</span>' in html
    assert "class=" not in html.replace('class="htp-console"', "", 1)


def test_every_colour_of_the_html_is_legible(export_data: HTPExportData) -> None:
    export_data.steps = {"model_tracing": {"status": "failed"}, "model_save": {"status": "skipped"}}
    html = log_all(HTPConsoleWriter(verbose=False), export_data).export_html()
    colours = set(re.findall(r"color: ?#([0-9a-f]{6})", html)) | {"e6edf3"}
    assert len(colours) >= 5
    assert min(_contrast(colour, "0d1117") for colour in colours) >= 4.5  # WCAG AA


def _contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two colours given as six hex digits."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
