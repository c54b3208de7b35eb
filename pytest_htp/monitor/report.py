"""The text report: everything a person may want to look up about one export, without symbols or ANSI codes."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_htp.monitor import facts
from pytest_htp.monitor.module_tree import ModuleTree
from pytest_htp.monitor.text import PLAIN, safe, seconds
from pytest_htp.monitor.tree import text_lines
from pytest_htp.monitor.writer import StepAwareWriter
from pytest_htp.text import percent, size
from pytest_htp.vocabulary import HTPExportData, HTPExportStep

_TREE_DEPTH = 64  # levels drawn; keeps the tree of a hostile model linear in size


class HTPReportWriter(StepAwareWriter):
    """Holds on to the export's data and describes it when asked."""

    def get_report(self) -> str:
        """The report so far."""
        return "".join(self.chunks())

    def chunks(self) -> Iterator[str]:
        """The report line by line, each with its line feed."""
        data = self.data or HTPExportData()
        for section in (
            _title,
            _steps,
            _errors,
            _model,
            _inputs,
            _graph,
            _tagging,
            _checks,
            _targets,
            _stages,
            _hierarchy,
            _nodes,
        ):
            for line in section(data):
                yield f"{line}\n"


def _heading(title: str) -> Iterator[str]:
    yield ""
    yield title
    yield "-" * len(title)


def _facts(pairs: list[tuple[str, str | int | None]]) -> Iterator[str]:
    for label, value in pairs:
        if value is not None and value != "":
            yield f"{safe(label) + ':':<22} {f'{value:,}' if isinstance(value, int) else safe(value)}"


def _title(data: HTPExportData) -> Iterator[str]:
    name = safe(data.model_name or data.model_class)
    title = f"Export report{': ' + name if name else ''}"
    yield title
    yield "=" * min(len(title), 110)
    failed = next((step for step in HTPExportStep if facts.status(data, step) == "failed"), None)
    verdict = facts.verdict(data)
    yield f"Result: {verdict}" + (f" at step {failed.number}/8, {failed.title}" if failed else "")


def _steps(data: HTPExportData) -> Iterator[str]:
    yield from _heading("Steps")
    for step in HTPExportStep:
        state = facts.status(data, step)
        took = facts.step_seconds(data, step)
        timed = "" if took is None else seconds(took)
        shown = "not reached" if state is None else state.upper() if state == "failed" else state
        yield f"{step.number}/8 {step.value:<20} {safe(shown):<12} {timed}".rstrip()
        yield from (f"      {safe(note)}" for note in facts.notes(data, step))
    if data.export_time is not None:
        yield f"{'':3} {'total':<20} {'':<12} {seconds(data.export_time)}"


def _errors(data: HTPExportData) -> Iterator[str]:
    if not data.errors:
        return
    yield from _heading("Errors")
    for error in data.errors:
        place = error.get("step") or (f"writer {error['writer']}" if "writer" in error else "no step")
        lines = str(error.get("message", "")).splitlines() or [""]
        yield f"{safe(place)}: {safe(error.get('type', 'error'))}: {safe(lines[0])}"
        yield from (f"    {safe(line)}" for line in lines[1:])


def _model(data: HTPExportData) -> Iterator[str]:
    yield from _heading("Model")
    yield from _facts(
        [
            ("name", data.model_name),
            ("class", data.model_class),
            ("modules", facts.modules(data)),
            ("parameters", facts.parameters(data)),
            ("module events", facts.execution_steps(data)),
            ("exporter", data.exporter),
        ]
    )
    yield from _facts(sorted(data.environment.items()))


def _inputs(data: HTPExportData) -> Iterator[str]:
    for title, tensors in (("Inputs", data.inputs), ("Outputs", data.outputs)):
        if tensors:
            yield from _heading(title)
            yield from ("  ".join(map(safe, facts.tensor(tensor))) for tensor in tensors)


def _graph(data: HTPExportData) -> Iterator[str]:
    pairs: list[tuple[str, str | int | None]] = [("nodes", facts.nodes(data))]
    pairs += [(f"opset {domain or 'ai.onnx'}", str(version)) for domain, version in sorted(data.opset.items())]
    if data.file_size is not None:
        pairs.append(("file", data.output_path.replace("\\", "/").rsplit("/", 1)[-1]))
        pairs.append(("file size", size(data.file_size)))
    if data.external_data_size is not None:
        pairs.append(("external data size", size(data.external_data_size)))
    lines = list(_facts(pairs))
    if lines:
        yield from _heading("Graph")
        yield from lines


def _tagging(data: HTPExportData) -> Iterator[str]:
    stats = facts.coverage(data)
    if not stats:
        return
    yield from _heading("Tagging statistics")
    for key, value in stats.items():
        is_percent = key in ("coverage", "direct_coverage", "root_share")
        yield from _facts([(key, percent(value) if is_percent or isinstance(value, float) else int(value))])
    yield from _facts([("unobserved", place) for place in data.unobserved])


def _checks(data: HTPExportData) -> Iterator[str]:
    for title, part in (("Parity with PyTorch", data.parity), ("Attestation", data.attestation)):
        if part is None:
            continue
        yield from _heading(title)
        reason = facts.not_measured(part)
        if reason:
            yield f"not measured: {safe(reason)}"
            continue
        for key, value in part.items():
            if key == "measured":
                continue
            if isinstance(value, list) and value:
                yield f"{safe(key)}:"
                yield from (f"    {_row(item)}" for item in value)
            else:
                yield from _facts([(str(key), "none" if value in (None, []) else str(value))])


def _targets(data: HTPExportData) -> Iterator[str]:
    if not data.targets:
        return
    yield from _heading("Targets")
    for target in data.targets.values():
        yield safe(target["line"])
        device = target["device"]
        for path, devices in target["placement"].items():
            elsewhere = {name: count for name, count in devices.items() if name != device}
            if elsewhere:
                yield from _facts([(path or "the root", _row({device: devices.get(device, 0), **elsewhere}))])


def _stages(data: HTPExportData) -> Iterator[str]:
    if not data.stages:
        return
    yield from _heading("Stages")
    for stage in data.stages:
        took = stage.get("seconds")
        timed = "" if took is None else seconds(took)
        yield f"{safe(stage['name']):<24} {safe(stage['status']):<12} {timed}".rstrip()
        for text in (stage.get("message"), stage.get("summary"), *stage.get("notes", ())):
            if text:
                yield f"      {safe(text)}"
        stats = stage.get("tagging_stats")
        if stats:
            yield f"      coverage {percent(stats['coverage'])} of {stats['total_nodes']:,} nodes"


def _row(item: object) -> str:
    if isinstance(item, dict):
        return safe("  ".join(f"{key} {value}" for key, value in item.items()))
    return safe(item)


def _hierarchy(data: HTPExportData) -> Iterator[str]:
    tree = ModuleTree.from_data(data)
    if tree.rows:
        yield from _heading("Hierarchy")
        yield from text_lines(tree, max_depth=_TREE_DEPTH, symbols=PLAIN)


def _nodes(data: HTPExportData) -> Iterator[str]:
    details, tags = data.node_details, data.tagged_nodes
    if not (details or tags):
        return
    yield from _heading("Nodes (key, operator, tag, evidence)")
    for key, detail in details.items():
        evidence = safe(detail.get("evidence") or "?")
        op_type, tag = safe(detail.get("op_type") or "?"), safe(tags.get(key) or "(no tag)")
        yield f"{safe(key)}  {op_type}  {tag}  [{evidence}]"
    for key, tag in tags.items():
        if key not in details:
            yield f"{safe(key)}  ?  {safe(tag)}"
