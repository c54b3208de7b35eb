"""The console log of an export: one section per step, a module tree, a closing table of the steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_htp.errors import HTPUsageError
from pytest_htp.monitor import facts
from pytest_htp.monitor.config import MonitorConfig
from pytest_htp.monitor.module_tree import ModuleTree
from pytest_htp.monitor.text import safe, seconds, shorten, symbols_for
from pytest_htp.monitor.tree import line_parts
from pytest_htp.monitor.writer import StepAwareWriter, handles
from pytest_htp.text import percent, plural, size
from pytest_htp.vocabulary import EVIDENCE, HTPExportData, HTPExportStep

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from pytest_htp.monitor.canvas import Parts

_LABEL = 14  # columns of the label before a value
_MESSAGE_LIMIT = 4000  # characters of an error message on the console; metadata and report hold all of it
_TENSORS = 20  # inputs or outputs listed; large decoders have hundreds of cache tensors
_NOTES = 3  # exporters' warnings listed per step, shortened; metadata and report hold all of them
_TREES_KEPT = 4


class HTPConsoleWriter(StepAwareWriter):
    """Writes a log of at most 80 columns to a terminal (where ``verbose``) and keeps it as text.

    Symbols and names are limited to what the console's stream can encode. Names of a model act on nothing:
    neither rich's markup nor ANSI codes in them have an effect.

    Args:
        config: see :class:`MonitorConfig`.
        console: a ``rich.console.Console`` to print to; None: standard output, as it is now.
        verbose: False prints nothing; the log is still complete.
    """

    def __init__(
        self,
        config: Mapping[str, object] | MonitorConfig | None = None,
        *,
        console: Console | None = None,
        verbose: bool = True,
    ) -> None:
        super().__init__()
        from rich.console import Console as RichConsole

        from pytest_htp.monitor.canvas import Canvas

        if console is not None and not isinstance(console, RichConsole):
            raise HTPUsageError(f"console must be a rich.console.Console or None, got {type(console).__name__}")
        self.config = MonitorConfig.parse(config)
        # Bound now: while exporters run, what they print to standard output is kept away from the terminal.
        self._console = console or RichConsole(file=sys.stdout) if verbose else None
        speaker = console or self._console
        self.encoding = speaker.encoding if speaker else "utf-8"
        self.symbols = symbols_for(self.encoding)
        self._canvas = Canvas(self.config.style_numbers)
        self._batch = self.config.batch_console
        self._section: list[Text] = []
        self._waiting: list[Text] = []
        self._trees: dict[object, list[Text]] = {}

    def get_output(self) -> str:
        """The log so far, without ANSI codes."""
        return self._canvas.text()

    def chunks(self) -> Iterator[str]:
        """The file's text."""
        yield self.get_output()

    def export_html(self) -> str:
        """The coloured log as an inline-styled ``<pre>`` element."""
        return self._canvas.html()

    def write(self, step: HTPExportStep, data: HTPExportData) -> None:
        state = facts.status(data, step)
        counter = state if state in ("completed", "failed", "skipped") else "running"
        self._heading([(f"STEP {step.number}/8", counter), (f"  {step.title.upper()}", "title")])
        try:
            super().write(step, data)
            self._notes(facts.notes(data, step))
            if state is not None:
                self._line(("  ", ""), *self._state(state, facts.step_seconds(data, step)))
        finally:
            self._close_section()

    def write_error(self, step: HTPExportStep | None, error: dict[str, str], data: HTPExportData) -> None:
        super().write_error(step, error, data)
        place = f"STEP {step.number}/8  {step.title.upper()}  FAILED" if step else "ERROR"
        if "writer" in error:
            place = f"WRITER {self._safe(error['writer'])} SWITCHED OFF"
        self._heading([(f"{self.symbols.cross} {shorten(place, 76, self.symbols.dots)}", "failed")])
        message = str(error.get("message", ""))
        lines = [self._safe(line) for line in message[:_MESSAGE_LIMIT].splitlines()] or [""]
        lines[0] = f"{self._safe(error.get('type', 'error'))}: {lines[0]}"
        for line in lines:
            self._line(("  ", ""), (line, "failed"))
        if len(message) > _MESSAGE_LIMIT:
            self._line((f"  {self.symbols.dots} {len(message) - _MESSAGE_LIMIT:,} more characters", "note"))
        self._close_section()

    def finish(self, data: HTPExportData) -> None:
        """Close the log with the state of all eight steps; ``batch_console`` prints it now, in one write."""
        super().finish(data)
        verdict = facts.verdict(data)
        role = {"completed": "completed", "failed": "failed"}.get(verdict, "skipped")
        name = f"  {shorten(self._safe(data.model_name), 50, self.symbols.dots)}" if data.model_name else ""
        self._heading([(f"EXPORT {verdict.upper()}", role), (name, "")])
        for step in HTPExportStep:
            state = facts.status(data, step)
            parts = self._state(state, facts.step_seconds(data, step))
            self._line((f"  {step.number}/8  {step.title:<20}", "" if state else "pending"), *parts)
        self._close_section()
        waiting, self._waiting = self._waiting, []
        self._print(waiting)
        self._batch = False  # what comes after the end can't wait for it

    @handles(HTPExportStep.MODEL_PREP)
    def model_prepared(self, step: HTPExportStep, data: HTPExportData) -> None:
        self._fact("model", data.model_name)
        self._fact("class", data.model_class)
        self._figure("modules", facts.modules(data))
        self._figure("parameters", facts.parameters(data))

    @handles(HTPExportStep.INPUT_GEN)
    def inputs_made(self, step: HTPExportStep, data: HTPExportData) -> None:
        self._tensors(data.inputs)

    @handles(HTPExportStep.HIERARCHY)
    def hierarchy_built(self, step: HTPExportStep, data: HTPExportData) -> None:
        self._figure("modules", facts.modules(data))
        executed = sum(info.executed for info in data.hierarchy.values())
        self._figure("executed", executed or None)
        self._figure("module events", facts.execution_steps(data))
        self._tree(data)

    @handles(HTPExportStep.TRACE)
    def traced(self, step: HTPExportStep, data: HTPExportData) -> None:
        self._fact("exporter", data.exporter)

    @handles(HTPExportStep.EXPORT)
    def exported(self, step: HTPExportStep, data: HTPExportData) -> None:
        self._figure("nodes", facts.nodes(data))
        self._opset(data)
        self._tensors(data.outputs)

    @handles(HTPExportStep.NODE_TAGGING)
    def tagged(self, step: HTPExportStep, data: HTPExportData) -> None:
        stats = facts.coverage(data)
        self._coverage(stats)
        known = [(name, stats[name]) for name in EVIDENCE if name in stats]
        if known:
            parts: list[tuple[str, str]] = []
            for name, number in known:
                parts += [(", " if parts else "", ""), (f"{number:,}", "number"), (f" {name}", "")]
            self._entry("evidence", *parts)
        if "root_share" in stats:
            self._entry("root share", (percent(stats["root_share"]), "number"), (" of nodes", ""))
        for place in data.unobserved:
            self._entry("unobserved", (self._safe(place), "failed"))
        self._tree(data)

    @handles(HTPExportStep.SAVE)
    def saved(self, step: HTPExportStep, data: HTPExportData) -> None:
        self._fact("file", data.output_path.replace("\\", "/").rsplit("/", 1)[-1])
        if data.file_size is not None:
            self._entry("size", (size(data.file_size), "number"))
        if data.external_data_size is not None:
            self._entry("external data", (size(data.external_data_size), "number"))
        if facts.status(data, step) != "failed" and (data.file_size is not None or facts.nodes(data) is not None):
            self._fact("tags embedded", "yes" if data.embed_hierarchy_attributes else "no")

    @handles(HTPExportStep.COMPLETE)
    def completed(self, step: HTPExportStep, data: HTPExportData) -> None:
        self._figure("nodes", facts.nodes(data))
        self._coverage(facts.coverage(data))
        for output in facts.parity_outputs(data):
            worst = f"max abs {_short(output.get('max_abs'))}, max rel {_short(output.get('max_rel'))}"
            self._fact("parity", f"{output.get('name')}: {worst}")
        further = facts.further_sets(data)
        if further:
            self._fact("also with", ", ".join(further))
        for label, part in (("parity", data.parity), ("attestation", data.attestation)):
            reason = facts.not_measured(part)
            self._fact(label, f"not measured: {reason}" if reason else "")
        if data.attestation and "attested" in data.attestation:
            self._fact("attested", plural(int(data.attestation["attested"]), "module"))
        for target in data.targets.values():
            self._fact("target", target["line"])
        if data.export_time is not None:
            self._entry("total time", (seconds(data.export_time), "number"))
        for stage in data.stages:
            self._stage(stage)

    def draw_tree(self, tree: ModuleTree) -> list[Text]:
        """A module tree within ``max_tree_depth`` and ``max_display_nodes``; what is cut is counted."""
        lines = tree.lines(
            max_depth=self.config.max_tree_depth,
            max_rows=self.config.max_display_nodes,
            symbols=self.symbols,
        )
        drawn = []
        for line in lines:
            parts = line_parts(line, self.symbols, self.encoding, width=78)
            drawn += self._canvas.draw([("  ", ""), *parts])
        return drawn

    def _tree(self, data: HTPExportData) -> None:
        tree = ModuleTree.from_data(data)
        if not self.config.enable_cache:
            self._section += self.draw_tree(tree)
            return
        key = (tree.rows, tree.never_ran, tree.untagged, self.config, self.encoding)
        if key not in self._trees:
            while len(self._trees) >= _TREES_KEPT:
                del self._trees[next(iter(self._trees))]
            self._trees[key] = self.draw_tree(tree)
        self._section += self._trees[key]

    def _stage(self, stage: Mapping[str, Any]) -> None:
        name = shorten(self._safe(stage["name"]), 24, self.symbols.dots)
        self._entry("stage", (f"{name}  ", "path"), *self._state(stage["status"], stage.get("seconds")))
        self._coverage(stage.get("tagging_stats") or {})
        for text, role in ((stage.get("summary"), ""), (stage.get("message"), "failed")):
            if text:
                self._line(("    ", ""), (self._safe(text), role))

    def _state(self, state: str | None, took: float | None) -> Iterator[tuple[str, str]]:
        if state is None:
            yield f"{self.symbols.pending} not reached", "pending"
            return
        known = {
            "completed": self.symbols.tick,
            "failed": self.symbols.cross,
            "skipped": self.symbols.skipped,
        }
        yield f"{known.get(state, self.symbols.pending)} {self._safe(state)}", state if state in known else ""
        if took is not None:
            yield " in ", ""
            yield seconds(took), "number"

    def _notes(self, notes: list[str]) -> None:
        for note in notes[:_NOTES]:
            self._entry("note", (shorten(self._safe(note), 78 - _LABEL, self.symbols.dots), "note"))
        if len(notes) > _NOTES:
            rest = plural(len(notes) - _NOTES, "more note")
            self._line((f"  {self.symbols.dots} {rest} in the report", "note"))

    def _coverage(self, stats: Mapping[str, int | float]) -> None:
        if "coverage" not in stats:
            return
        parts = [(percent(stats["coverage"]), "number"), (" of nodes", "")]
        if "direct_coverage" in stats:
            parts += [(", direct ", ""), (percent(stats["direct_coverage"]), "number")]
        self._entry("coverage", *parts)

    def _opset(self, data: HTPExportData) -> None:
        for domain, version in sorted(data.opset.items()):
            self._entry("opset", (str(version), "number"), (f"  {self._safe(domain)}" if domain else "", ""))

    def _tensors(self, tensors: list[dict[str, object]]) -> None:
        for tensor in tensors[:_TENSORS]:
            name, described = map(self._safe, facts.tensor(tensor))
            name = shorten(name, 74 - min(len(described), 40), self.symbols.dots)
            self._line(("  ", ""), (name, "path"), ("  ", ""), (described, "number"))
        if len(tensors) > _TENSORS:
            self._line((f"  {self.symbols.dots} {len(tensors) - _TENSORS:,} more not shown", "note"))

    def _fact(self, label: str, value: str) -> None:
        if value:
            self._entry(label, (self._safe(value), ""))

    def _figure(self, label: str, value: int | None) -> None:
        if value is not None:
            self._entry(label, (f"{value:,}", "number"))

    def _entry(self, label: str, *parts: tuple[str, str]) -> None:
        self._line((f"  {label:<{_LABEL}}", "label"), *parts)

    def _heading(self, parts: Parts) -> None:
        from pytest_htp.monitor.canvas import WIDTH

        self._line((self.symbols.rule * WIDTH, "rule"))
        self._line(*parts)

    def _line(self, *parts: tuple[str, str]) -> None:
        self._section += self._canvas.draw(parts)

    def _safe(self, text: object) -> str:
        return safe(text, self.encoding)

    def _close_section(self) -> None:
        section, self._section = self._section, []
        self._canvas.keep(section)
        if self._batch and self._console is not None:
            self._waiting += section
        else:
            self._print(section)

    def _print(self, lines: Sequence[Text]) -> None:
        """In one write. Where the terminal is gone, nothing more is printed: an export outlives its reader."""
        from pytest_htp.monitor.canvas import joined

        if self._console is None or not lines:
            return
        try:
            self._console.print(joined(lines), highlight=False, overflow="fold", soft_wrap=False)
        except (OSError, ValueError, SystemExit):  # rich answers a broken pipe with SystemExit
            self._console = None


def _short(number: object) -> str:
    """A measured difference to three digits: more are noise, and wrap."""
    return f"{number:.3g}" if isinstance(number, float) else str(number)
