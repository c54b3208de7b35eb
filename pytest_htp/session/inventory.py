"""Which tests exist, so that baselines without one can be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_htp.baseline import FOLDER
from pytest_htp.session.identity import test_id_of

if TYPE_CHECKING:
    from pytest_htp.baseline.prune import Collected

_WORKER_KEY = "htp_inventory"


class Inventory:
    """Notes what pytest collects; joins what xdist workers collected.

    A file counts as collected as a whole when nothing on the command line selected inside it (``::``),
    collecting it raised no error and the run wasn't narrowed to last failures. Only what lies beside a
    baseline folder is looked at, so that projects without baselines pay one look-up per folder.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._has_baselines: dict[Path, bool] = {}
        self._digests: dict[Path, set[str]] = {}
        self._visited: set[Path] = set()
        self._whole: dict[Path, set[str]] = {}
        self._folders: set[Path] = set()

    def __bool__(self) -> bool:
        """Whether a test or a folder beside baselines was collected as a whole."""
        return bool(self._whole or self._folders)

    @property
    def collected(self) -> Collected:
        """What was collected as a whole."""
        from pytest_htp.baseline.prune import Collected  # only projects with baselines need it

        return Collected(digests=self._whole, folders=self._folders)

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
        if self._beside_baselines(item.path.parent):
            from pytest_htp.baseline.naming import digest_of_test

            self._digests.setdefault(item.path, set()).add(digest_of_test(test_id_of(item)))

    def finish(self, session: pytest.Session) -> None:
        """Collection is over: keep what is known as a whole."""
        if session.testsfailed or self._narrowed():
            return
        here = self._config.invocation_params.dir
        partial, folders = set(), set()
        for argument in self._config.args:
            path, separator, _ = argument.partition("::")
            target = (here / path).resolve()
            if separator:
                partial.add(target)
            elif target.is_dir():
                folders.add(target)
        self._whole = {file: digests for file, digests in self._digests.items() if not _within(file, partial)}
        if not partial:
            self._folders = {folder for folder in self._visited if _within(folder, folders)}

    def _beside_baselines(self, folder: Path) -> bool:
        if folder not in self._has_baselines:
            self._has_baselines[folder] = (folder / FOLDER).is_dir()
        return self._has_baselines[folder]

    def _narrowed(self) -> bool:
        option = self._config.option
        narrowing = ("lf", "ignore", "ignore_glob", "stepwise", "deselect", "pyargs")
        return any(getattr(option, name, None) for name in narrowing)

    def leave_worker(self) -> None:
        """On an xdist worker: send what was collected to the controller."""
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_WORKER_KEY] = {
                "digests": {str(file): sorted(digests) for file, digests in self._whole.items()},
                "folders": sorted(str(folder) for folder in self._folders),
            }

    def join(self, output: dict[str, Any]) -> None:
        """On the controller: take what a worker sent (every worker collects everything)."""
        sent = output.get(_WORKER_KEY)
        if sent:
            for file, digests in sent["digests"].items():
                self._whole.setdefault(Path(file), set()).update(digests)
            self._folders.update(Path(folder) for folder in sent["folders"])


def _within(path: Path, places: set[Path]) -> bool:
    resolved = path.resolve()
    return resolved in places or not places.isdisjoint(resolved.parents)
