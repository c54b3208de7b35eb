"""One of two ONNX files on its way into a comparison: what is known of it, and its record when that is asked for.

Reading and describing a file of 100,000 nodes takes one core many seconds. Of two large ones the second has a process
of its own, which answers for it (:class:`Elsewhere`): graphs stay where they were read.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import onnx_ir as ir

from pytest_htp.describe.weights import initializers
from pytest_htp.errors import HTPUsageError
from pytest_htp.files.align import rename_modules
from pytest_htp.files.arithmetic import arithmetic
from pytest_htp.files.describe import describe_file, weights_of
from pytest_htp.files.load import OnnxFile
from pytest_htp.files.modules import NAMES, SCOPES, ReadModules, by_weights, read_modules
from pytest_htp.files.values import Weight, may_be_duplicate
from pytest_htp.format.record import Record
from pytest_htp.tagging.computed import COMPUTED
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.tagger import Tagging

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

# A process costs 50 ms, and handing over what it found more; two files of so many nodes take a second and a half.
_MANY_NODES = 10_000
# Weights inside of the file are handed over as they are.
_MOST_BYTES = 256 * 1024 * 1024
# Of ONNX Runtime's own operators. All domains that it knows are listed in what it writes.
_OF_ONNX_RUNTIME, _LISTED = "com.microsoft", "com.microsoft.nchwc"
# Nodes that neither name nor scope places: measured 16 to 41% of what onnxslim and ONNX Runtime wrote of an encoder, a
# convnet and a BERT, none in what exporters wrote.
_REWRITTEN = 0.1
_FURTHEST = 32  # operators that are looked at around a weight


@dataclass
class Known:
    """What a file says at once.

    Attributes:
        source, note: as of :class:`ReadModules`.
        modules: path → class.
        operators: how often each is used.
        optimized: a tool rewrote it, which left names to some nodes, and with others of another module.
        typed: whether the element type of all values is there; TorchScript's files leave some out, and tools fill them
            in.
    """

    path: str
    missing: tuple[str, ...]
    source: str
    note: str
    modules: dict[str, str]
    weights: list[Weight]
    operators: Counter[str]
    optimized: bool
    typed: bool


class Side(Protocol):
    """A file of a comparison, wherever it was read."""

    @property
    def known(self) -> Known:
        """What it says at once."""

    def rename(self, names: Mapping[str, str], classes: Mapping[str, str]) -> None:
        """Call modules otherwise, as :func:`rename_modules`."""

    def forget(self, names: Collection[str]) -> None:
        """Leave what these initializers hold undescribed: of one of the two files it is not known."""

    def start_record(self) -> Callable[[], Record]:
        """Begin to describe the file; what is returned waits for the record."""

    def surroundings(self) -> dict[str, tuple[tuple[str, int], ...]]:
        """Weight → elementary operators between it and the next ones."""

    def here(self) -> Here:
        """The file read in this process."""


class Here:
    """A file that this process has read."""

    def __init__(self, file: OnnxFile, read: ReadModules | None = None) -> None:
        self.file = file
        self.look(read or read_modules(file.model))

    def look(self, read: ReadModules) -> None:
        """Take the modules as ``read``."""
        self.tagging: Tagging = read.tagging
        nodes = [facts.node for facts in self.tagging.nodes]
        self.known = Known(
            path=self.file.path,
            missing=self.file.missing,
            source=read.source,
            note=read.note,
            modules=self._modules(),
            weights=weights_of(self.file, self.tagging.graph),
            operators=Counter(node.op_type for node in nodes),
            optimized=read.source in (NAMES, SCOPES) and self._is_rewritten(),
            typed=all(value.dtype is not None for node in nodes for value in node.outputs if value.name),
        )

    def _is_rewritten(self) -> bool:
        nodes = self.tagging.nodes
        unnamed = [facts.node for facts in nodes if facts.evidence is Evidence.INFERRED]
        return (
            any(entry.domain == _LISTED for entry in self.file.proto.opset_import)
            or any(node.domain == _OF_ONNX_RUNTIME for node in unnamed)
            or len(unnamed) >= _REWRITTEN * max(1, len(nodes))
        )

    def _modules(self) -> dict[str, str]:
        return {path: info.class_name for path, info in self.tagging.graph.modules.items()}

    def rename(self, names: Mapping[str, str], classes: Mapping[str, str]) -> None:
        rename_modules(self.tagging, names, classes)
        self.known.modules = self._modules()

    def forget(self, names: Collection[str]) -> None:
        for value, _ in initializers(self.tagging.graph):
            if value.name in names:
                value.meta[COMPUTED] = True

    def start_record(self) -> Callable[[], Record]:
        return self.record

    def record(self, *, named_outputs: bool = True) -> Record:
        """The file's record, as :func:`describe_file`."""
        return describe_file(self.file, self.tagging, self.known.weights, named_outputs=named_outputs)

    def surroundings(self) -> dict[str, tuple[tuple[str, int], ...]]:
        return {name: _around(facts.node) for name, facts in by_weights(self.tagging).items()}

    def here(self) -> Here:
        return self


class Elsewhere:
    """A file that a process of its own reads, which ends with this object's :meth:`close`."""

    def __init__(self, file: OnnxFile) -> None:
        from multiprocessing import get_context  # most files are small

        self.file = file
        forking = get_context("fork")  # which hands the parsed file over for nothing
        self._connection, theirs = forking.Pipe()
        self.process = forking.Process(target=_answer, args=(file, self._connection, theirs), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def known(self) -> Known:
        if not hasattr(self, "_known"):
            self._known: Known = self._received()
        return self._known

    def rename(self, names: Mapping[str, str], classes: Mapping[str, str]) -> None:
        self.known.modules = self._ask("renamed", dict(names), dict(classes))()

    def forget(self, names: Collection[str]) -> None:
        self._ask("forget", frozenset(names))()

    def start_record(self) -> Callable[[], Record]:
        return self._ask("record")

    def surroundings(self) -> dict[str, tuple[tuple[str, int], ...]]:
        found: dict[str, tuple[tuple[str, int], ...]] = self._ask("surroundings")()
        return found

    def here(self) -> Here:
        return Here(self.file)

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self.process.terminate()
        self.process.join()

    def _ask(self, what: str, *given: object) -> Callable[[], Any]:
        with suppress(ConnectionError):  # it is gone, and so will be its answer
            self._connection.send((what, given))
        return self._received

    def _received(self) -> Any:
        try:
            found = self._connection.recv()
        except (EOFError, ConnectionError):
            raise HTPUsageError(
                f"{self.file.path}: the process that read it ended before it was done: is there enough memory?"
            ) from None
        if isinstance(found, Exception):
            raise found
        return found


class _Answering(Here):
    """What :class:`Elsewhere` asks for."""

    def renamed(self, names: dict[str, str], classes: dict[str, str]) -> dict[str, str]:
        self.rename(names, classes)
        return self.known.modules


def _answer(file: OnnxFile, not_ours: Connection, connection: Connection) -> None:
    """The life of the process: send what is known of the file, then answer until nobody asks any more."""
    not_ours.close()
    try:
        side = _Answering(file)
        for weight in side.known.weights:
            if may_be_duplicate(weight) and not file.missing:
                weight.digest  # noqa: B018 - worked out once, here, and handed over
        connection.send(side.known)
        while True:
            what, given = connection.recv()
            connection.send(getattr(side, what)(*given))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:  # whatever it is, it is raised where it was asked for
        connection.send(error)


@contextmanager
def two_sides(old: OnnxFile, new: OnnxFile) -> Iterator[tuple[Here, Side]]:
    """Two files for a comparison, large ones read at the same time."""
    if not all(file.nodes >= _MANY_NODES and file.bytes <= _MOST_BYTES for file in (old, new)) or not _two_at_once():
        yield Here(old), Here(new)
        return
    other = Elsewhere(new)
    try:
        yield Here(old), other
    finally:
        other.close()


def _two_at_once() -> bool:
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1  # elsewhere, forking is not safe


def _around(node: ir.Node) -> tuple[tuple[str, int], ...]:
    """Elementary operators from a node on, up to the next one that reads a weight."""
    found: list[str] = []
    seen, todo = {node}, [node]
    while todo and len(found) < _FURTHEST:
        current = todo.pop()
        found.append(current.op_type)
        for output in current.outputs:
            for use in output.uses():
                weighted = any(v is not None and v.is_initializer() and "." in (v.name or "") for v in use.node.inputs)
                if use.node not in seen and not weighted:
                    seen.add(use.node)
                    todo.append(use.node)
    return tuple(sorted(arithmetic(Counter(found)).items()))
