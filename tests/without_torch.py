"""``python -m pytest -p tests.without_torch FOLDER...``: where torch and the libraries around it can't be imported.

So run the tests of the rooms that need none of them; one that imports one fails and says how it came to it. Processes
that a test starts are left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_HEAVY = ("torch", "transformers", "onnxscript", "onnxruntime")


class _Refuses(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in _HEAVY:
            raise ImportError(
                f"{name}: these tests run without {', '.join(_HEAVY)}; a test of an export has its own file"
            )
        return None


sys.meta_path.insert(0, _Refuses())
