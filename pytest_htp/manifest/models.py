"""What ``model = …`` and ``reference = …`` name: the folder of a saved model, or ``module:factory``.

Imports no torch itself.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pytest_htp.errors import HTPUsageError, suggestion

_FACTORY = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\Z")
_KNOWN = (
    "give the folder of a saved model (with a config.json), relative to this file, or 'module:factory', a "
    "function without arguments that makes a model"
)


@dataclass(frozen=True)
class ModelReference:
    """A folder, or a name in a module that is imported only when the model is needed.

    Attributes:
        key: of the manifest: ``model`` or ``reference``.
        text: as it was written.
        folder: of the saved model, else None.
        search: where the module is looked for first: the manifest's folder.
    """

    key: str
    text: str
    folder: Path | None
    search: Path

    def load(self) -> object:
        """The folder, or what the name stands for (a factory, a module, a config).

        Raises:
            HTPUsageError: the module can't be imported, or has no such name.
        """
        if self.folder is not None:
            return self.folder
        module_name, _, name = self.text.partition(":")
        with _importable_from(self.search):
            try:
                found: object = importlib.import_module(module_name)
            except Exception as error:
                raise HTPUsageError(
                    f"{self.key} {self.text!r}: importing {module_name} failed: {type(error).__name__}: {error}"
                ) from error
        for part in name.split("."):
            if not hasattr(found, part):
                names = [known for known in vars(found) if not known.startswith("_")]
                hint = suggestion(part, names, ", did you mean {!r}?")
                raise HTPUsageError(f"{self.key} {self.text!r}: {module_name} has no {part!r}{hint}")
            found = getattr(found, part)
        return found


def find_model(text: str, folder: Path, key: str = "model") -> ModelReference:
    """Check what can be checked without importing anything of the value of ``key`` in a manifest in ``folder``.

    Raises:
        HTPUsageError: no such folder, no config in it, or no such module.
    """
    target = folder / text
    if target.is_dir():
        if not (target / "config.json").is_file():
            raise HTPUsageError(f"{key} {text!a}: no config.json in that folder; {_KNOWN}")
        return ModelReference(key, text, target, folder)
    factory = _FACTORY.match(text)
    if factory is None:
        problem = "a file, not a folder" if target.exists() else f"no such folder{_nearest(target)}"
        raise HTPUsageError(f"{key} {text!a}: {problem}; {_KNOWN}")
    top = factory["module"].partition(".")[0]
    with _importable_from(folder):
        try:
            known = top in sys.modules or find_spec(top) is not None
        except (ImportError, ValueError):
            known = False
    if not known:
        raise HTPUsageError(
            f"{key} {text!a}: there is no module {top!r}, neither installed nor beside this file; {_KNOWN}"
        )
    return ModelReference(key, text, None, folder)


def _nearest(target: Path) -> str:
    try:
        names = [path.name for path in target.parent.iterdir() if path.is_dir()]
    except OSError:
        return ""
    return suggestion(target.name, names, ", did you mean {!a}?")


@contextmanager
def _importable_from(folder: Path) -> Iterator[None]:
    """The folder first on the import path, for the block."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)
