"""The published JSON Schemas, made from the types: ``python -m pytest_htp.format.schema`` writes them anew."""

from __future__ import annotations

import json
from inspect import cleandoc
from pathlib import Path

import msgspec

from pytest_htp.format.record import Record

FOLDER = Path(__file__).resolve().parents[1] / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text(kind: type[msgspec.Struct], title: str) -> str:
    """The JSON Schema of a type, as its file holds it."""
    schema = {"$schema": DIALECT, "title": title, **msgspec.json.schema(kind)}
    return json.dumps(_without_indent(schema), indent=2, ensure_ascii=False) + "\n"


def _without_indent(value: object) -> object:
    """Descriptions are docstrings, whose indent Python 3.13 takes away and earlier ones keep."""
    if isinstance(value, dict):
        return {
            key: cleandoc(item) if key == "description" and isinstance(item, str) else _without_indent(item)
            for key, item in value.items()
        }
    return [_without_indent(item) for item in value] if isinstance(value, list) else value


def schemas() -> dict[str, str]:
    """File name → text of every schema that is made from types of this room."""
    return {"baseline.schema.json": schema_text(Record, "The record of one ONNX export, as a baseline holds it")}


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
