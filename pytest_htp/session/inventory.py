"""Which tests exist, so that baselines without one can be found."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_htp.baseline import FOLDER
from pytest_htp.session.identity import test_id_of

if TYPE_CHECKING:
    from pytest_htp.baseline.prune import Collected

_WORKER_KEY = "htp_inventory"
# Test file → digests of its tests; folders; test file → slugs of functions → names of parameters; what is not judged.
_Sent = tuple[dict[str, set[str]], set[str], dict[str, dict[str, set[str]]], str]


class Inventory:
    """Notes what pytest collects; joins what xdist workers collected.

    A file counts as collected as a whole when nothing on the command line selected inside it (``::``),
    collecting it raised no error and the run wasn't narrowed to last failures. What ``--ignore`` leaves out is
    not visited, and what ``--deselect`` and ``--stepwise`` leave out was collected before. Only what lies beside a
    baseline folder is looked at, so that projects without baselines pay one look-up per folder.

    Attributes:
        not_judged: why baselines of all or some files can't be determined to be stale; empty where they can.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._has_baselines: dict[Path, bool] = {}
        self._complete = False
        self.not_judged = ""
        self._digests: dict[Path, set[str]] = {}
        self._parameters: dict[Path, dict[str, set[str]]] = {}
        self._visited: set[Path] = set()
        self._whole: dict[Path, set[str]] = {}
        self._folders: set[Path] = set()

    def __bool__(self) -> bool:
        """Whether there is anything to say of baselines."""
        return bool(self._whole or self._folders or (self.not_judged and self._config.option.htp_prune))

    @property
    def collected(self) -> Collected:
        """What was collected as a whole."""
        from pytest_htp.baseline.prune import Collected  # only projects with baselines need it

        return Collected(digests=self._whole, folders=self._folders, parameters=self._parameters)

    def visit(self, collector: pytest.Collector, report: pytest.CollectReport) -> None:
        """A folder or file was collected."""
        if not report.passed or not isinstance(collector, (pytest.Directory, pytest.File)):
            return
        path = collector.path
        if isinstance(collector, pytest.Directory):
            if self._beside_baselines(path):
                self._visited.add(path)
        elif path.is_file() and self._beside_baselines(path.parent):
            self._digests.setdefault(path, set())

    def add(self, item: pytest.Item) -> None:
        """Note a collected test, so that its baseline is not taken for an obsolete one."""
        if self._beside_baselines(item.path.parent):
            from pytest_htp.baseline.naming import digest, slug_of_function

            test_id = test_id_of(item)
            self._digests.setdefault(item.path, set()).add(digest(test_id))
            parameters = _decorated_parameters(item)
            if parameters is not None:
                of_file = self._parameters.setdefault(item.path, {})
                of_file.setdefault(slug_of_function(test_id), set()).update(parameters)

    def complete(self) -> None:
        """All items are there; without this (Ctrl-C, a node id that isn't found) collection was broken off."""
        self._complete = True

    def finish(self, session: pytest.Session) -> None:
        """Collection is over: keep what is known as a whole."""
        if session.testsfailed or not self._complete:
            self.not_judged = "collecting the tests failed"
            return
        if self._config.getoption("lf", False):
            self.not_judged = "--lf collects a part of the tests"
            return
        partial, folders = set(), set()
        for argument in self._config.args:
            path, separator, _ = argument.partition("::")
            target = self._place(path)
            if separator:
                partial.add(target)
                self.not_judged = f"{argument} selects inside a file"
            elif target.is_dir():
                folders.add(target)
        if partial and self._config.getoption("pyargs", False):
            return  # which file a module's name stands for is for pytest to say: better none than a wrong one
        self._whole = {file: digests for file, digests in self._digests.items() if not _within(file, partial)}
        if not partial:
            self._folders = {folder for folder in self._visited if _within(folder, folders)}

    def _beside_baselines(self, folder: Path) -> bool:
        if folder not in self._has_baselines:
            self._has_baselines[folder] = (folder / FOLDER).is_dir()
        return self._has_baselines[folder]

    def _place(self, argument: str) -> Path:
        """The file or folder that an argument names; with ``--pyargs`` modules go first, as in pytest."""
        if self._config.getoption("pyargs", False):
            try:
                spec = find_spec(argument)
            except (AttributeError, ImportError, ValueError):
                spec = None
            if spec is not None and spec.submodule_search_locations:
                return Path(next(iter(spec.submodule_search_locations))).resolve()
            if spec is not None and spec.origin:
                return Path(spec.origin).resolve()
        return (self._config.invocation_params.dir / argument).resolve()

    def leave_worker(self) -> None:
        """On an xdist worker: send what was collected to the controller."""
        output: dict[str, object] | None = getattr(self._config, "workeroutput", None)
        if output is not None:  # execnet sends sets, but no paths
            digests = {str(file): digests for file, digests in self._whole.items()}
            parameters = {str(file): functions for file, functions in self._parameters.items()}
            output[_WORKER_KEY] = digests, set(map(str, self._folders)), parameters, self.not_judged

    def join(self, output: dict[str, _Sent]) -> None:
        """On the controller: take what a worker sent (every worker collects everything)."""
        if _WORKER_KEY in output:
            digests, folders, parameters, self.not_judged = output[_WORKER_KEY]
            for file, found in digests.items():
                self._whole.setdefault(Path(file), set()).update(found)
            self._folders.update(map(Path, folders))
            self._parameters.update({Path(file): functions for file, functions in parameters.items()})


def _decorated_parameters(item: pytest.Item) -> set[str] | None:
    """Names of a test's parameters; None where a ``pytest_generate_tests`` of the project may have made them."""
    if not isinstance(item, pytest.Function):
        return None
    hooks = item.ihook.pytest_generate_tests.get_hookimpls()
    if any(Path(hook.plugin_name).name == "conftest.py" for hook in hooks):
        return None
    if hasattr(item.module, "pytest_generate_tests") or hasattr(item.cls, "pytest_generate_tests"):
        return None
    callspec = getattr(item, "callspec", None)
    return set(callspec.params) if callspec is not None else set()


def _within(path: Path, places: set[Path]) -> bool:
    resolved = path.resolve()
    return resolved in places or not places.isdisjoint(resolved.parents)
