"""What an export depends on, as ingredients: name → digest. Equal ingredients, equal export."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

from pytest_htp.cache import surroundings
from pytest_htp.cache.libraries import Libraries
from pytest_htp.cache.patches import Patches
from pytest_htp.cache.public import PublicNames
from pytest_htp.cache.walk import Walk

if TYPE_CHECKING:
    from pytest_htp.capture.models import ResolvedModel
    from pytest_htp.exporter.options import ExportOptions

_NO_PART = ("verbose",)  # of the options: decides what is printed meanwhile


@dataclass(frozen=True)
class Request:
    """One call of ``htp_export``, identified by content.

    Attributes:
        key: of the ingredients; names no machine, folder or test.
        ingredients: what went into it: "net.py", "weights", "option opset_version", "torch" → digest or version.
        codes: code objects of the user's functions by qualified name, for the lines of today.
    """

    key: str
    ingredients: dict[str, str]
    codes: dict[str, CodeType]

    @classmethod
    def of(
        cls,
        resolved: ResolvedModel,
        inputs: object,
        options: ExportOptions,
        *,
        names: Mapping[str, str | None] | None = None,
        root: Path | None = None,
    ) -> Request:
        """Look at everything.

        Args:
            resolved: the model.
            inputs: as the export was called with; None: made from the model.
            options: of the export.
            names: module path → name in tags, where a naming rule chose it.
            root: the project's folder.

        Raises:
            Uncertain: something can't be determined.
        """
        walk = Walk(root, _libraries())
        model, weights = walk.model(resolved.module)
        found = {
            "the model's name": resolved.name,
            "the model's structure or attributes": model,
            "weights or buffers": weights,
            "inputs": walk.digest(inputs),
            "names in tags": walk.digest(names),
            "hooks for all modules": walk.digest(surroundings.global_hooks()),
        }
        for option in fields(options):
            if option.name not in _NO_PART:
                found[f"option {option.name}"] = walk.digest(getattr(options, option.name))
        for target in options.targets:
            found[f"compiler of target {target.name}"] = surroundings.source_of(target.compiler.partition(":")[0])
            found[f"library of target {target.name}"] = walk.digest(target.library and Path(target.library))
            walk.packages |= {package.partition(".")[0] for package in (target.package, target.compiler)}
        found |= {f"patched {name}": walk.digest(value) for name, value in _patches().find().items()}
        found["what names of torch stand for"] = _public_names().digest()
        found |= walk.code()
        found |= surroundings.variables(walk.variables(), walk.variables_of_libraries())
        found |= surroundings.settings()
        found |= surroundings.versions(walk.packages)
        text = "\n".join(f"{name}\t{digest}" for name, digest in sorted(found.items()))
        return cls(hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest(), found, walk.codes())


@lru_cache(maxsize=1)
def _public_names() -> PublicNames:
    return PublicNames()


@lru_cache(maxsize=1)
def _libraries() -> Libraries:
    return Libraries()


@lru_cache(maxsize=1)
def _patches() -> Patches:
    return Patches()


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What is different, for people: ``net.py changed, torch 2.13.0 (was 2.12.0)``; empty where nothing is."""
    words = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if old is None or new is None:
            words.append(f"{name} is {'new' if old is None else 'gone'}")
        elif max(len(old), len(new)) < 32:  # a version or a setting; digests say nothing
            words.append(f"{name} {new} (was {old})")
        else:
            words.append(f"{name} changed")
    shown = ", ".join(words[:4])
    return f"{shown} and {len(words) - 4} more" if len(words) > 4 else shown
