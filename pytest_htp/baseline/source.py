"""What the source of a test file says of a test that a run did not collect.

A test may be missing because it is gone, or because it stands behind a condition, gets its parameters from an
option, or is looked for under another ``python_functions`` today. Only the first makes its baseline stale, and
the source says which: where nothing of the test's name is left, it is gone; where its function was collected and
all parameters are written out in its decorators, the missing ones are gone. Else nobody can know.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_htp.baseline.naming import slug_of_function

# What a file reads that has other tests, or other parameters, elsewhere.
_ASKS = re.compile(r"environ|getenv|getoption|\bargv\b|platform|is_available|find_spec|importorskip")
# A slug this long may have been cut within the function's name.
_MAYBE_CUT = 70


@dataclass(frozen=True)
class _Name:
    """What may be a test: its slug, and the names of the parameters that its decorators write out."""

    slug: str
    written_out: frozenset[str] | None = None  # None: not a function, or parameters that are computed


class TestSource:
    """The names in a test file.

    Args:
        text: None for a file that can't be read; nothing is known of it.

    Attributes:
        asks: whether what it holds may depend on the environment or an option.
    """

    __test__ = False

    def __init__(self, text: str | None) -> None:
        self.asks = text is None or _ASKS.search(text) is not None
        self._names: list[_Name] | None = None
        try:
            tree = ast.parse(text) if text is not None else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = None
        # Doctests are named after all kinds of things.
        if tree is not None and text is not None and "getfixture(" not in text:
            self._names = list(_names(tree.body, (), _constants(tree)))

    def may_hold(self, slug: str, collected: Mapping[str, set[str]]) -> bool:
        """Whether the file may still hold the test of a baseline that no collected test has.

        Args:
            slug: of the baseline's file name.
            collected: slugs of the file's functions that were collected → names of their parameters.
        """
        if self._names is None:
            return True
        matching = [name for name in self._names if _begins_with(slug, name.slug)]
        return bool(matching) and not (
            len(matching) == 1
            and matching[0].written_out is not None
            and matching[0].slug in collected
            and collected[matching[0].slug] <= matching[0].written_out
        )


def _begins_with(slug: str, name: str) -> bool:
    if len(slug) >= _MAYBE_CUT and name.startswith(slug):
        return True
    return slug.startswith(name) and slug[len(name) :].lstrip("_")[:1] in ("", "-")


def _names(body: Iterable[ast.AST], classes: tuple[str, ...], constants: Mapping[str, ast.expr]) -> Iterator[_Name]:
    """Every name that a module or class defines, however deep in ``if`` and ``try``; not what functions hold."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield _Name(_slug(classes, node.name), _written_out(node, constants))
            case ast.ClassDef():
                inside = (*classes, node.name)
                if any(not _is_plain(base) for base in node.bases):
                    yield _Name(_slug(inside))  # it may inherit any test
                yield from _names(node.body, inside, constants)
            case ast.Import() | ast.ImportFrom():
                yield from (_Name(_slug(classes, alias.asname or alias.name)) for alias in node.names)
            case ast.Name(id=name, ctx=ast.Store()):
                yield _Name(_slug(classes, name))
            case _:
                yield from _names(ast.iter_child_nodes(node), classes, constants)


def _slug(classes: tuple[str, ...], name: str = "") -> str:
    return slug_of_function("::".join((*classes, name) if name else classes))


def _is_plain(base: ast.expr) -> bool:
    """A base class without tests of its own."""
    name = ast.unparse(base)
    return name == "object" or name.endswith("TestCase")


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names of the module that are given a value once, and nothing is done to them but reading."""
    stored: Counter[str] = Counter()
    touched = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            stored[node.id] += 1
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.value, ast.Name):
            touched.add(node.value.id)
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and stored[target.id] == 1 and target.id not in touched
    }


def _written_out(
    function: ast.FunctionDef | ast.AsyncFunctionDef, constants: Mapping[str, ast.expr]
) -> frozenset[str] | None:
    names: set[str] = set()
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call) or not ast.unparse(decorator.func).endswith("parametrize"):
            continue
        given = dict(zip(("argnames", "argvalues"), decorator.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}
        if not {"argnames", "argvalues"} <= given.keys():
            return None
        if not all(_is_literal(given[key], constants) for key in ("argnames", "argvalues")):
            return None
        if "ids" in given and not _are_literal_ids(given["ids"], constants):
            return None
        if isinstance(given["argnames"], ast.Name):
            return None
        argnames = ast.literal_eval(given["argnames"])
        names.update(argnames.replace(",", " ").split() if isinstance(argnames, str) else map(str, argnames))
    return frozenset(names)


def _are_literal_ids(node: ast.expr, constants: Mapping[str, ast.expr]) -> bool:
    is_function_of_values = isinstance(node, ast.Lambda) or (isinstance(node, ast.Name) and node.id in ("str", "repr"))
    return is_function_of_values or _is_literal(node, constants)


def _is_literal(node: ast.expr, constants: Mapping[str, ast.expr]) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=operand):
            return _is_literal(operand, constants)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return all(_is_literal(part, constants) for part in parts)
        case ast.Dict(keys=keys, values=values):
            return all(part is not None and _is_literal(part, constants) for part in (*keys, *values))
        case ast.Call(func=func, args=args, keywords=keywords) if ast.unparse(func).rpartition(".")[2] == "param":
            # Marks may skip a test, which is collected all the same.
            ids = [keyword.value for keyword in keywords if keyword.arg != "marks"]
            return all(_is_literal(part, constants) for part in (*args, *ids))
        case ast.Name(id=name) if name in constants:
            return _is_literal(constants[name], {})
        case _:
            return False
