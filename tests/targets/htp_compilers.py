"""Compilers for tests, called in the worker's process as a third package's would be."""

from __future__ import annotations

import os
import sys
import time

from pytest_htp.targets.messages import CompileAnswer, CompiledNode, CompileRequest


def crash(request: CompileRequest) -> CompileAnswer:
    print("allocating", flush=True)
    print("no space in VTCM", file=sys.stderr, flush=True)
    os.abort()


def hang(request: CompileRequest) -> CompileAnswer:
    print("still at it", flush=True)
    time.sleep(60)
    raise AssertionError("not reached")


def leave(request: CompileRequest) -> CompileAnswer:
    print("licence expired", flush=True)
    sys.exit(3)


def allocate(request: CompileRequest) -> CompileAnswer:
    """More than the process may have."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    return CompileAnswer(outcome="failed", device="CHIP", message=str(len(bytearray(2**33))))


def refuse_tanh(request: CompileRequest) -> CompileAnswer:
    """Compiles graphs without Tanh."""
    import onnx

    nodes = onnx.load(request.model).graph.node
    if any(node.op_type == "Tanh" for node in nodes):
        return CompileAnswer(outcome="failed", device="CHIP", message="Tanh is not implemented")
    placed = [CompiledNode(names=[node.name], op_type=node.op_type, device="CHIP") for node in nodes]
    return CompileAnswer(outcome="compiled", device="CHIP", nodes=placed, partitions=1)


def turbo(request: CompileRequest) -> CompileAnswer:
    """Leaves everything to the CPU where ``turbo`` is asked for."""
    slow = request.options.get("turbo") == "1"
    node = CompiledNode(names=["n0"], op_type="Relu", device="CPU" if slow else "CHIP")
    return CompileAnswer(outcome="compiled", device="CHIP", nodes=[node], partitions=int(not slow))


def another_type(request: CompileRequest) -> str:
    return "done"


def talk(request: CompileRequest) -> CompileAnswer:
    """Prints so many characters: ``b``, many times ``a``, and ``end``."""
    print("b" + "a" * (int(request.options["characters"]) - 4) + "end", end="")
    return refuse_tanh(request)


def refuse_a_minute(request: CompileRequest) -> CompileAnswer:
    """Refuses what has no limit, or one of 55 to 60 seconds."""
    refused = not request.timeout or 55 < request.timeout <= 60
    return CompileAnswer(
        outcome="failed" if refused else "compiled", device="CHIP", message="no" if refused else "", partitions=1
    )
