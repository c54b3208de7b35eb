"""The metadata file: all that is known of an export as JSON (``schemas/metadata.schema.json``), as a stream.

The nodes come last: they are made and written one at a time, so that writing 100,000 of them takes no memory that
grows with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_htp.monitor import facts
from pytest_htp.monitor.jsontext import clean, dumps, quote
from pytest_htp.monitor.writer import StepAwareWriter
from pytest_htp.vocabulary import HTPExportData, HTPExportStep, ModuleInfo

SCHEMA = "pytest-htp/metadata/1"


class HTPMetadataWriter(StepAwareWriter):
    """Holds on to the export's data and describes it when asked; nothing is copied before."""

    def get_metadata(self) -> dict[str, object]:
        """The metadata so far, as the file will hold it."""
        data = self.data or HTPExportData()
        return {
            **_head(data),
            "hierarchy": dict(_modules(data)),
            "nodes": dict(_nodes(data)),
        }

    def chunks(self) -> Iterator[str]:
        """The file's text, piece by piece: one line per section, module and node."""
        data = self.data or HTPExportData()
        yield "{\n"
        for key, value in _head(data).items():
            yield f"{quote(key)}: {dumps(value)},\n"
        yield '"hierarchy": {'
        yield from _rows((dumps(path), dumps(module)) for path, module in _modules(data))
        yield '},\n"nodes": {'
        yield from _rows((dumps(key), _node_text(node)) for key, node in _nodes(data))
        yield "}\n}\n"


def _rows(items: Iterator[tuple[str, str]]) -> Iterator[str]:
    end = ""
    separator = "\n"
    for key, value in items:
        yield f"{separator}{key}: {value}"
        separator, end = ",\n", "\n"
    yield end


def _head(data: HTPExportData) -> dict[str, object]:
    """Every section but the hierarchy and the nodes. Null: not measured."""
    name = data.output_path.replace("\\", "/").rsplit("/", 1)[-1]
    stats = facts.coverage(data)
    head = {
        "schema": SCHEMA,
        "status": facts.verdict(data),
        "model": {
            "name": data.model_name or None,
            "class": data.model_class or None,
            "modules": facts.modules(data),
            "parameters": facts.parameters(data),
        },
        "exporter": data.exporter or None,
        "unobserved": data.unobserved,
        "opset": data.opset,
        "inputs": data.inputs,
        "outputs": data.outputs,
        "execution_steps": facts.execution_steps(data),
        "total_nodes": facts.nodes(data),
        "export_time": data.export_time,
        "steps": {step.value: data.steps[step.value] for step in HTPExportStep if step.value in data.steps},
        "tagging": {"tagging_stats": stats or None},
        "embed_hierarchy_attributes": data.embed_hierarchy_attributes,
        "output": {
            "file": name or None,
            "bytes": data.file_size,
            "external_data_bytes": data.external_data_size,
        },
        "parity": data.parity,
        "attestation": data.attestation,
        **({"targets": data.targets} if data.targets else {}),
        **({"stages": data.stages} if data.stages else {}),
        "environment": dict(sorted(data.environment.items())),
        "errors": data.errors,
    }
    return {key: clean(value) for key, value in head.items()}


def _modules(data: HTPExportData) -> Iterator[tuple[str, dict[str, object]]]:
    watched = any(info.executed for info in data.hierarchy.values())
    for path, info in data.hierarchy.items():
        yield str(path), _module(info, watched=watched)


def _module(info: ModuleInfo, *, watched: bool) -> dict[str, object]:
    described = {
        "class": info.class_name,
        "tag": info.tag or None,
        "execution_order": info.execution_order,
        "calls": info.calls if watched else None,
        "parameters": info.parameters,
        "input_shapes": info.input_shapes,
        "output_shapes": info.output_shapes,
        "flops": info.cost.flops,
        "attention_flops": info.cost.attention_flops,
        "params_bytes": info.params_bytes,
        "activation_bytes": info.cost.activation_bytes,
    }
    return {key: clean(value) for key, value in described.items()}


def _nodes(data: HTPExportData) -> Iterator[tuple[str, dict[str, object]]]:
    """Every node, tagged or not, in graph order; nodes of which only the tag is known come last."""
    tags, details = data.tagged_nodes, data.node_details
    for key, detail in details.items():
        yield str(key), _node(tags.get(key), detail)
    for key, tag in tags.items():
        if key not in details:
            yield str(key), _node(tag, {})


def _node(tag: str | None, detail: Mapping[str, object]) -> dict[str, object]:
    node: dict[str, object] = {
        "tag": _word(tag),
        "evidence": _word(detail.get("evidence")),
        "rule": _word(detail.get("rule")),
        "op_type": _word(detail.get("op_type")),
        "domain": _word(detail.get("domain")),
    }
    origins = detail.get("origins")
    if isinstance(origins, list | tuple) and len(origins) > 1:
        node["origins"] = clean(origins)
    if detail.get("graph"):
        node["graph"] = _word(detail["graph"])
    return node


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def _node_text(node: dict[str, object]) -> str:
    """The node's JSON; its words repeat from node to node, so joining quoted ones is several times faster."""
    words = (
        f'"{key}": {"null" if value is None else quote(value) if isinstance(value, str) else dumps(value)}'
        for key, value in node.items()
    )
    return f"{{{', '.join(words)}}}"
