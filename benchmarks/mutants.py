"""Mutation score: how many small faults in a room's code its tests notice.

    python benchmarks/mutants.py compare --count 100 --seed 1 tests/compare tests/session/test_judge.py
    python benchmarks/mutants.py parity --numbers tests/parity

A random sample of one-place faults inside functions: a comparison, ``and``/``or``, ``not``, an arithmetic operator, an
integer, a truth value, the branches of a conditional or an ``if``, a returned value (None instead), a statement (left
out). Strings, decorators, annotations and what stands outside of functions are left alone. With ``--numbers`` instead
every number of a module's own (``GROWTH = 10.0``), once a step larger and once smaller: integers by one, others by a
quarter. Tests are collected once and traced once; each fault is a fork in which the function's code is exchanged and
the tests that run its lines are run, up to the first that fails. Nothing is written to the package. What a test starts
as a process of its own is not traced: see ``(0 tests)``. Prints the survivors, and one JSON line with the score.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import pickle
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
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


def numbers(tree: ast.Module) -> Iterator[tuple[ast.Assign | ast.AnnAssign, ast.Constant, Callable[[], None]]]:
    """Each number of a module's own, twice: the assignment it is in, itself, and what moves it."""
    for node in tree.body:
        for inner in ast.walk(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else ():
            if isinstance(inner, ast.Constant) and type(inner.value) in (int, float):
                value: Any = inner.value
                for moved in (value + 1, value - 1) if isinstance(value, int) else (value * 1.25, value / 1.25):
                    yield node, inner, partial(setattr, inner, "value", moved)


def found_in(file: Path, qualified: str, number: int) -> tuple[ast.Module, Any, ast.AST, Callable[[], None]]:
    """A place by its number: the tree, the function or assignment it is in, its node, and what makes it wrong."""
    tree = ast.parse(file.read_text("utf-8"))
    if not qualified:
        return tree, *[*numbers(tree)][number]
    function = next(node for name, node in functions(tree) if name == qualified)
    node, _, change = [*places(function)][number]
    return tree, function, node, change


def exchange(file: Path, qualified: str, number: int) -> None:
    """Put the fault into the loaded module."""
    tree, whole, _, change = found_in(file, qualified, number)
    change()
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    importlib.import_module(name)
    if qualified:
        _exchange_code(name, qualified, tree, whole, file)
    else:
        _exchange_value(name, whole)
    for module in _ours():
        for value in [*vars(module).values()]:
            if callable(getattr(value, "cache_clear", None)):
                value.cache_clear()


def _ours() -> list[ModuleType]:
    return [each for each in [*sys.modules.values()] if (getattr(each, "__file__", None) or "").startswith(str(ROOT))]


def _exchange_value(name: str, assignment: ast.Assign | ast.AnnAssign) -> None:
    """Also where another module has imported it, and as a default; what was computed from it stays."""
    (target,) = assignment.targets if isinstance(assignment, ast.Assign) else (assignment.target,)
    assert isinstance(target, ast.Name | ast.Tuple)
    before = {each.id: vars(sys.modules[name])[each.id] for each in ast.walk(target) if isinstance(each, ast.Name)}
    exec(ast.unparse(assignment), vars(sys.modules[name]))
    for word, old in before.items():
        for module in _ours():
            new = vars(sys.modules[name])[word]
            if vars(module).get(word) is old:
                setattr(module, word, new)
            if isinstance(old, float):  # small integers are the same object everywhere
                _exchange_defaults(module, old, new)


def _exchange_defaults(module: ModuleType, old: object, new: object) -> None:
    owners = [module, *(each for each in vars(module).values() if isinstance(each, type))]
    for function in (each for owner in owners for each in vars(owner).values() if isinstance(each, FunctionType)):
        function.__defaults__ = tuple(new if value is old else value for value in function.__defaults__ or ())
        given = function.__kwdefaults__ or {}
        function.__kwdefaults__ = {key: new if value is old else value for key, value in given.items()}


def _exchange_code(name: str, qualified: str, tree: ast.Module, function: Any, file: Path) -> None:
    code = compile(ast.unparse(ast.fix_missing_locations(tree)), str(file), "exec")
    for part in qualified.split("."):
        code = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == part)
    found: Any = sys.modules[name]
    known = {**vars(found)}
    for part in qualified.split("."):
        known.update(vars(found))
        found = found.__dict__[part]
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        found = next(getattr(found, way) for way in ("__wrapped__", "__func__", "fget", "func") if hasattr(found, way))
    found.__code__ = code
    arguments = function.args
    found.__defaults__ = tuple(eval(ast.unparse(each), known) for each in arguments.defaults)
    found.__kwdefaults__ = {
        each.arg: eval(ast.unparse(value), known)
        for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if value is not None
    }


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

    def _ran_by(self, file: Path, whole: Any, node: Any) -> Iterator[tuple[str, int]]:
        """Lines whose tests a fault may fail: its own, of a default its function's, of a number all that name it."""
        if isinstance(whole, ast.FunctionDef):
            within = whole if node.lineno < whole.body[0].lineno else node
            yield from ((str(file), line) for line in range(within.lineno, (within.end_lineno or within.lineno) + 1))
            return
        words = {each.id for each in ast.walk(whole) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        for other in sorted(Path(self.folder).rglob("*.py")):
            tree = ast.parse(other.read_text("utf-8"))
            for each in ast.walk(tree):
                if getattr(each, "id", getattr(each, "attr", None)) in words:
                    yield str(other), each.lineno  # type: ignore[attr-defined]
            for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
                if any(getattr(each, "id", None) in words for each in ast.walk(function.args)):
                    yield from ((str(other), line) for line in range(function.lineno, (function.end_lineno or 0) + 1))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from _pytest.runner import runtestprotocol

        items = session.items

        def passes(numbers: list[int]) -> bool:
            following = [*numbers[1:], None][: len(numbers)]  # of no test: what nobody runs, nobody misses
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
            _, whole, node, _ = found_in(file, qualified, place)
            ran_by = self._ran_by(file, whole, node)
            chosen = sorted({each for ran in ran_by for each in running[ran]})

            def survives(fault: tuple[Path, str, int] = (file, qualified, place), chosen: Any = chosen) -> bool:
                exchange(*fault)
                return passes([number for _, number in chosen])

            survived = forked(survives, 60) is True
            self.killed += not survived
            if survived:
                text = file.read_text("utf-8").splitlines()[node.lineno - 1].strip()  # type: ignore[attr-defined]
                print(
                    f"survived: {file.relative_to(ROOT)}:{node.lineno} {kind} ({len(chosen)} tests): {text}",  # type: ignore[attr-defined]
                    file=sys.stderr,
                )
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", help="a folder of pytest_htp")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--numbers", action="store_true", help="every number of a module's own, both ways")
    parser.add_argument("--files", default="", help="only those of these names (tolerance,observe)")
    arguments = parser.parse_args()
    folder = ROOT / "pytest_htp" / arguments.room
    named = arguments.files.split(",") if arguments.files else None
    files = [file for file in sorted(folder.rglob("*.py")) if named is None or file.stem in named]
    trees = [(file, ast.parse(file.read_text("utf-8"))) for file in files]
    pool: list[Fault] = [
        (file, name, number, kind)
        for file, tree in trees
        for name, function in functions(tree)
        for number, (_, kind, _) in enumerate(places(function))
    ]
    if arguments.numbers:
        faults = pool = [
            (file, "", number, ("larger", "smaller")[number % 2])
            for file, tree in trees
            for number, _ in enumerate(numbers(tree))
        ]
    else:
        faults = random.Random(arguments.seed).sample(pool, min(arguments.count, len(pool)))
    sample = Sample(faults, folder)
    pytest.main(["-q", "-s", "-p", "no:cacheprovider", *arguments.tests], plugins=[sample])
    result = {"room": arguments.room, "places": len(pool), "faults": len(faults), "killed": sample.killed}
    print(json.dumps({**result, "score": round(sample.killed / len(faults), 3)}))


if __name__ == "__main__":
    main()
