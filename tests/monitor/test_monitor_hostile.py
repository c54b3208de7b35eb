"""Whatever names and values a model brings: no crash, nothing acted upon, nothing outside of the folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_metadata_writer import VALIDATOR, strict

from pytest_htp import HTPExportData, HTPExportMonitor, HTPExportStep, ModuleInfo
from pytest_htp.monitor.text import cells, safe, shorten

NASTY = st.sampled_from(
    [
        "", "[bold]", "[/]", "[link=http://evil]x[/link]", "\x1b[31m\x1b]0;title\x07", "\r\n::error::x",
        "<script>", "../../etc/passwd", "a" * 5000, "\u202eabc", "\ud800", "名前" * 40, "e\u0301" * 50,
        "{0..9}", "%2F", "|`*_", "\u2028", "\x00", "nul", ":smile:",
    ]
)  # fmt: skip
NAMES = NASTY | st.text(st.characters(), max_size=30)
NUMBERS = st.floats() | st.integers()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def exports(draw: st.DrawFn) -> HTPExportData:
    def each(values: st.SearchStrategy[Any]) -> dict[str, Any]:
        return draw(st.dictionaries(NAMES, values, max_size=4))

    order = st.none() | st.integers(0, 9)
    module = st.builds(ModuleInfo, NAMES, NAMES, NAMES, order, st.integers(0, 2))
    modules = draw(st.dictionaries(NAMES, module, max_size=5))
    shape = st.lists(NAMES | st.none(), max_size=3)
    tensor = st.fixed_dictionaries({"name": NAMES, "dtype": NAMES, "shape": shape})
    detail = st.fixed_dictionaries(
        {
            "op_type": NAMES,
            "domain": NAMES,
            "evidence": st.sampled_from(["direct", "none", None]),
            "rule": NAMES,
        },
        optional={"origins": st.lists(NAMES, max_size=3), "graph": NAMES},
    )
    return HTPExportData(
        model_name=draw(NAMES), model_class=draw(NAMES), output_path=draw(NAMES), exporter=draw(NAMES),
        hierarchy=modules, tagged_nodes=each(NAMES), node_details=each(detail),
        inputs=draw(st.lists(tensor, max_size=2)), outputs=draw(st.lists(tensor, max_size=2)),
        opset=each(st.integers(-1, 99)), environment=each(NAMES), parity=draw(st.none()) or each(JSON),
        export_time=draw(st.none() | st.floats(0)),
        errors=[{"step": "model_tracing", "type": draw(NAMES), "message": draw(NAMES)}],
        steps={"model_tracing": {"status": "failed", "seconds": draw(NUMBERS)}},
    )  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=exports(), encoding=st.sampled_from(["utf-8", "cp1252", "ascii"]), error=NAMES)
def test_any_export_gives_three_whole_inert_files(data: HTPExportData, encoding: str, error: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = Console(file=stream, force_terminal=True, color_system="standard", width=80)
    with TemporaryDirectory() as outside:
        folder = Path(outside, "folder")
        monitor = HTPExportMonitor(folder / "model.onnx", data.model_name, console=console)
        for step in HTPExportStep:
            monitor.log_step(step, data)
        monitor.log_error(HTPExportStep.SAVE, RuntimeError(error))
        paths = monitor.finalize()
        assert [path.name for path in Path(outside).iterdir()] == ["folder"]
        assert sorted(folder.iterdir()) == sorted(paths.values())
        metadata = strict(paths["metadata"].read_text("utf-8"))
        texts = [paths[kind].read_bytes().decode("utf-8") for kind in ("report", "console")]
    assert not [known for known in metadata["errors"] if "writer" in known]  # no writer stumbled
    assert metadata == json.loads(json.dumps(monitor.get_metadata()))
    assert set(metadata["nodes"]) == {*data.tagged_nodes, *data.node_details}
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n"))
    assert all(cells(line) <= 80 for line in texts[1].split("\n"))
    texts[1].encode(encoding)
    html = monitor.console_writer.export_html()
    assert "<script" not in html
    assert "\x1b" not in html
    if data.steps["model_tracing"]["seconds"] >= 0:  # the one value here that the schema limits
        try:
            VALIDATOR.validate(metadata)
        except jsonschema.ValidationError as wrong:
            pytest.fail(f"{wrong.json_path}: {wrong.message}")


@given(NAMES, st.sampled_from(["utf-8", "ascii", "cp1252", "no such codec"]))
def test_safe_text_is_printable_writable_and_stays_as_it_is(text: str, encoding: str) -> None:
    made = safe(text, encoding)
    assert made.isprintable()
    assert "\x1b" not in made
    made.encode(encoding if encoding != "no such codec" else "ascii")
    assert safe(made, encoding) == made
    if text.isascii() and text.isprintable():
        assert made == text


@given(NAMES.map(safe), st.integers(3, 100))
def test_shortened_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    made = shorten(text, width)
    assert cells(made) <= width
    if cells(text) <= width:
        assert made == text
    elif text.isascii():
        assert cells(made) == width
        assert made[0] == text[0]


@pytest.mark.parametrize("bad", ["x" * 300, "a\x00b"])
def test_a_file_name_the_system_refuses_is_one_clear_error(tmp_path: Path, bad: str) -> None:
    with pytest.raises((OSError, ValueError)) as caught:
        HTPExportMonitor(tmp_path / f"{bad}.onnx", verbose=False).finalize()
    assert caught.type is not UnicodeError
    assert list(tmp_path.iterdir()) == []
