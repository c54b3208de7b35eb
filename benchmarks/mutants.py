"""Mutation score: how many small faults in a room's code its tests notice.

    python benchmarks/mutants.py compare --count 100 --seed 1 tests/compare tests/session/test_judge.py

A random sample of one-place faults inside functions: a comparison, ``and``/``or``, ``not``, an arithmetic operator, an
integer, a truth value, the branches of a conditional or an ``if``, a returned value (None instead), a statement (left
out). Strings, decorators, annotations and what stands outside of functions are left alone. Tests are collected once and
traced once; each fault is a fork in which the function's code is exchanged and the tests that run its lines are run, up
to the first that fails. Nothing is written to the package. Prints the survivors, and one JSON line with the score.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import pickle
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
               ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}  # fmt: skip
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
              ast.Mod: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr}  # fmt: skip
Fault = tuple[Path, str, int, str]  # file, function by its qualified name, number of the place in it, kind


def places(function: ast.AST) -> Iterator[tuple[ast.AST, str, Callable[[], None]]]:
    """Each place of a function's body that can be made wrong: the node, a word for it, and what makes it so."""
    left_alone = {
        id(inner)
        for node in ast.walk(function)
        for part in (
            getattr(node, "annotation", None), getattr(node, "returns", None), *getattr(node, "decorator_list", ()),
            node if isinstance(node, ast.Assert) else None,
        )
        if isinstance(part, ast.AST)
        for inner in ast.walk(part)
    }  # fmt: skip
    for node in ast.walk(function):
        if id(node) in left_alone or node is function:
            continue
        made = _fault(node)
        if made is not None:
            yield node, *made


def _fault(node: Any) -> tuple[str, Callable[[], None]] | None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        return "comparison", lambda: node.ops.__setitem__(0, COMPARISONS[type(node.ops[0])]())
    if isinstance(node, ast.BoolOp):
        return "and/or", lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return "not", lambda: _become(node, ast.Call(ast.Name("bool", ast.Load()), [node.operand], []))
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return "arithmetic", lambda: setattr(node, "op", ARITHMETIC[type(node.op)]())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return "truth", lambda: setattr(node, "value", not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return "integer", lambda: setattr(node, "value", node.value + 1)
    if isinstance(node, ast.IfExp):
        return "branches", lambda: node.__dict__.update(body=node.orelse, orelse=node.body)
    if isinstance(node, ast.If | ast.While):
        return "condition", lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        return "result", lambda: setattr(node, "value", ast.Constant(None))
    alone = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom)
    if alone or isinstance(node, ast.AugAssign | ast.Continue | ast.Break):
        return "statement", lambda: _become(node, ast.Pass())
    return None


def _become(node: Any, other: ast.AST) -> None:
    node.__class__ = other.__class__
    node.__dict__.update(other.__dict__)


def functions(tree: ast.AST, outer: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods with their qualified names; those inside of functions belong to these."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield ".".join((*outer, node.name)), node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, (*outer, node.name))


def exchange(file: Path, qualified: str, number: int) -> None:
    """Put the fault into the loaded module."""
    tree = ast.parse(file.read_text("utf-8"))
    function = next(node for name, node in functions(tree) if name == qualified)
    [*places(function)][number][2]()
    code = compile(ast.unparse(ast.fix_missing_locations(tree)), str(file), "exec")
    for part in qualified.split("."):
        code = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == part)
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    found: Any = sys.modules[name]
    for part in qualified.split("."):
        found = found.__dict__[part]
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        found = next(getattr(found, way) for way in ("__wrapped__", "__func__", "fget", "func") if hasattr(found, way))
    found.__code__ = code
    for module in [*sys.modules.values()]:
        for value in [*vars(module).values()] if isinstance(module, ModuleType) and "htp" in module.__name__ else []:
            if callable(getattr(value, "cache_clear", None)):
                value.cache_clear()


def forked(work: Callable[[], Any], seconds: int) -> Any:
    """What ``work`` gives in a fork; None where it fails or takes longer."""
    receiver, sender = os.pipe()
    if not (child := os.fork()):
        signal.alarm(seconds)
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silence, stream)
        status = 1
        try:
            with os.fdopen(sender, "wb") as stream_:
                pickle.dump(work(), stream_)
            status = 0
        finally:
            os._exit(status)
    os.close(sender)
    with os.fdopen(receiver, "rb") as answer:
        given = answer.read()
    return pickle.loads(given) if os.waitpid(child, 0)[1] == 0 else None


class Sample:
    """Runs instead of the tests."""

    def __init__(self, faults: list[Fault], folder: Path) -> None:
        self.faults, self.folder, self.killed = faults, str(folder), 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from _pytest.runner import runtestprotocol

        items = session.items

        def passes(numbers: list[int]) -> bool:
            following = [*numbers[1:], None]
            return not any(
                report.failed
                for number, after in zip(numbers, following, strict=True)
                for report in runtestprotocol(
                    items[number], nextitem=None if after is None else items[after], log=False
                )
            )

        def lines_of(number: int) -> tuple[float, set[tuple[str, int]]]:
            lines: set[tuple[str, int]] = set()

            def trace(frame: Any, event: str, _: object) -> Any:
                if frame.f_code.co_filename.startswith(self.folder):
                    lines.add((frame.f_code.co_filename, frame.f_lineno))
                    return trace
                return None

            started = time.process_time()
            sys.settrace(trace)
            passed = passes([number])
            sys.settrace(None)
            assert passed, items[number].nodeid
            return time.process_time() - started, lines

        traced = forked(lambda: [lines_of(number) for number in range(len(items))], 1800)
        running = defaultdict(list)
        for number, (cost, lines) in enumerate(traced):
            for line in lines:
                running[line].append((cost, number))
        for file, qualified, place, kind in self.faults:
            tree = ast.parse(file.read_text("utf-8"))
            node = [*places(next(each for name, each in functions(tree) if name == qualified))][place][0]
            span = range(node.lineno, (node.end_lineno or node.lineno) + 1)  # type: ignore[attr-defined]
            chosen = sorted({each for line in span for each in running[str(file), line]})

            def survives(fault: tuple[Path, str, int] = (file, qualified, place), chosen: Any = chosen) -> bool:
                exchange(*fault)
                return passes([number for _, number in chosen])

            survived = forked(survives, 60) is True
            self.killed += not survived
            if survived:
                text = file.read_text("utf-8").splitlines()[node.lineno - 1].strip()  # type: ignore[attr-defined]
                print(
                    f"survived: {file.relative_to(ROOT)}:{span[0]} {kind} ({len(chosen)} tests): {text}",
                    file=sys.stderr,
                )
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", help="a folder of pytest_htp")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = ROOT / "pytest_htp" / arguments.room
    pool: list[Fault] = [
        (file, name, number, kind)
        for file in sorted(folder.rglob("*.py"))
        for name, function in functions(ast.parse(file.read_text("utf-8")))
        for number, (_, kind, _) in enumerate(places(function))
    ]
    faults = random.Random(arguments.seed).sample(pool, min(arguments.count, len(pool)))
    sample = Sample(faults, folder)
    pytest.main(["-q", "-s", "-p", "no:cacheprovider", *arguments.tests], plugins=[sample])
    result = {"room": arguments.room, "places": len(pool), "faults": len(faults), "killed": sample.killed}
    print(json.dumps({**result, "score": round(sample.killed / len(faults), 3)}))


if __name__ == "__main__":
    main()
