"""What the exporter's process asks a compiler's process, and its answer, as JSON files."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class CompileRequest(Struct, frozen=True, kw_only=True):
    """A graph to compile.

    Attributes:
        model: path of the ``.onnx`` file.
        target: its name, for messages.
        compiler: ``package.module:function`` that compiles.
        options: of the compiler.
        provider: ONNX Runtime's execution provider, where that is the compiler.
        library: its shared library, for a plugin.
        search: further folders to import from: those of the process that asks.
        timeout: seconds after which nobody waits for the answer, 0 for no limit.
    """

    model: str
    target: str
    compiler: str
    options: dict[str, str]
    provider: str | None = None
    library: str | None = None
    search: list[str] = field(default_factory=list)
    timeout: float = 0.0


class CompiledNode(Struct, frozen=True, kw_only=True):
    """A node of the compiled graph.

    Attributes:
        names: of the node, or of the nodes it was made of; they may be the compiler's own.
        device: short name of what runs it.
        piece: which contiguous piece given to the target it is in; None outside of these, or where there is one.
        inputs: positions of the nodes before it among those of the answer; empty where it doesn't report them.
    """

    names: list[str]
    op_type: str
    device: str
    piece: int | None = None
    inputs: list[int] = field(default_factory=list)


class CompileAnswer(Struct, frozen=True, kw_only=True):
    """What became of a request.

    Attributes:
        outcome: ``failed`` is the compiler's refusal of the graph, ``refused`` a mistake in options or set-up.
        message: the compiler's own words, where it did not compile.
        device: the target's own device among those of ``nodes``.
        nodes: in execution order, or piece by piece.
        partitions: contiguous pieces given to the target.
        memory: peak memory of the process in MiB, None where the platform doesn't report it.
    """

    outcome: Literal["compiled", "failed", "refused"]
    device: str
    message: str = ""
    nodes: list[CompiledNode] = field(default_factory=list)
    partitions: int = 0
    memory: float | None = None
