"""A first manifest for the saved models of a project: what ``htp init`` writes. Imports no torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_htp.errors import HTPUsageError
from pytest_htp.manifest.keys import check_name

# Nobody keeps models of their own there, and walking them takes minutes.
_SKIPPED = frozenset(("node_modules", "site-packages", "__pycache__", "__htp_baselines__", "htp-report"))
_MAX_CONFIG = 16 << 20
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
BIG = 2 << 30
"""Bytes of weights above which a manifest exports without them: more than one ONNX file holds."""


@dataclass(frozen=True)
class FoundModel:
    """A folder with a transformers config.

    Attributes:
        folder: with the ``config.json``.
        family: its ``model_type``.
        architecture: the class it was saved from, or None.
        weights: bytes of its safetensors.
        pickled: whether its weights are only pickled, which is never loaded.
    """

    folder: Path
    family: str
    architecture: str | None
    weights: int
    pickled: bool

    @property
    def generates(self) -> bool:
        """Whether the class is one that ``generate`` is made for."""
        return (self.architecture or "").endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))


def find_models(paths: Iterable[Path]) -> list[FoundModel]:
    """The models in and below the given folders; a ``config.json`` stands for its folder.

    Raises:
        HTPUsageError: a path that is neither, or no model anywhere.
    """
    given = list(paths)
    found: dict[Path, FoundModel] = {}
    for path in given:
        if path.is_file():
            if path.suffix != ".json" or (model := _model_in(path.parent, path.name)) is None:
                raise HTPUsageError(
                    f"{str(path)!a} is no transformers config: give a folder, or a config.json that has a model_type"
                )
            if path.name != "config.json":
                raise HTPUsageError(f"{str(path)!a} must be called config.json to be loaded from its folder")
            found[path.parent.resolve()] = model
        elif path.is_dir():
            for folder in _folders(path):
                if (model := _model_in(folder)) is not None:
                    found.setdefault(folder.resolve(), model)
        else:
            raise HTPUsageError(f"{str(path)!a}: no such file or folder")
    if not found:
        where = ", ".join(ascii(str(path)) for path in given)
        raise HTPUsageError(
            f"no saved model in {where} (looked for folders with a config.json that has a model_type); for "
            "models made by code write a manifest by hand: [export.NAME] and model = 'module:factory'"
        )
    return list(found.values())


def _folders(top: Path) -> Iterator[Path]:
    for folder, names, _ in os.walk(top):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _SKIPPED)
        yield Path(folder)


def _model_in(folder: Path, name: str = "config.json") -> FoundModel | None:
    file = folder / name
    try:
        if not file.is_file() or file.stat().st_size > _MAX_CONFIG:
            return None
        config: object = json.loads(file.read_bytes())
        sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return None
    architectures = config.get("architectures")
    architecture = architectures[0] if isinstance(architectures, list) and architectures else None
    weights = sum(size for name, size in sizes.items() if name.endswith(".safetensors"))
    return FoundModel(
        folder=folder,
        family=config["model_type"],
        architecture=architecture if isinstance(architecture, str) else None,
        weights=weights,
        pickled=not weights and any(name.endswith(_PICKLED) for name in sizes),
    )


def manifest_text(models: Iterable[FoundModel], folder: Path) -> str:
    """The manifest, to be written into ``folder``: models by paths relative to it, where there are any."""
    tables = []
    taken: set[str] = set()
    for model in sorted(models, key=lambda model: model.folder.resolve().as_posix()):
        name = _name(model, taken)
        taken.add(name)
        lines = [f"[export.{_key(name)}]", f"model = {_text(_relative(model.folder, folder))}"]
        if model.pickled:
            lines.append('weights = "none"  # its weights are pickled, which is never loaded')
        elif model.weights > BIG:
            lines.append(f'weights = "none"  # the structure alone: {model.weights / 1e9:.1f} GB of weights')
        if model.generates:
            lines.append("# generation = true  # prefill, decode and encoders, each with a baseline of its own")
        tables.append("\n".join(lines) + "\n")
    return (
        "# Each [export.NAME] table is one test. The first run writes what later runs are compared with:\n"
        "#   pytest --snapshot-update\n\n"
    ) + "\n".join(tables)


def _name(model: FoundModel, taken: set[str]) -> str:
    parts = model.folder.resolve().parts
    name = _word(parts[-1]) or _word(model.family)
    if name in taken and len(parts) > 2:
        name = f"{_word(parts[-2])}-{name}"
    if check_name(name) is not None:
        name = "model"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique


def _word(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-.")


def _relative(model: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(model.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return str(model.resolve())


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's, but for DEL, which JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
