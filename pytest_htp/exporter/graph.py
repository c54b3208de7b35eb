"""What tests that take exports from the cache need of graphs, without onnx-ir, whose import takes half a second.

Most of them never look at the graph, so it is read when somebody does.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

STRUCTURE_ONLY = "pytest-htp.structure_only"
"""In the metadata of a file without weights."""


class Graph:
    """Holds a graph that is in memory."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model

    @property
    def model(self) -> ir.Model:
        """The graph."""
        return self._model


class SavedGraph(Graph):
    """Holds what was parsed of a file in ``folder``, where weights beside it are found."""

    def __init__(self, proto: onnx.ModelProto, folder: Path) -> None:
        self._proto = proto
        self._folder = folder

    @property
    def model(self) -> ir.Model:
        """The graph, which is read once.

        Raises:
            HTPUsageError: it contradicts itself.
        """
        return self._read

    @cached_property
    def _read(self) -> ir.Model:
        import onnx_ir as ir

        try:
            model = ir.serde.deserialize_model(self._proto)
        except Exception as error:  # the file was whole, so it was put into the cache like this
            raise HTPUsageError(
                f"the graph of this export was taken from the cache and is none that can be read ({error}); somebody "
                "else put it there: empty the folder of --htp-cache and run again"
            ) from error
        ir.external_data.set_base_dir(model.graph, self._folder)
        model.metadata_props.pop(STRUCTURE_ONLY, None)
        return model


def remove_model(path: Path) -> None:
    """Remove a saved model and its weights; missing files are fine."""
    for file in (path, path.with_name(f"{path.name}.data")):
        with suppress(OSError):
            file.unlink()
