"""Which tests exist, so that baselines without one can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_htp.baseline.naming import FOLDER, digest_of_test
from pytest_htp.baseline.prune import Collected

_WORKER_KEY = "htp_inventory"


class Inventory:
    """Fills in :class:`Collected` while pytest collects; joins what xdist workers collected.

    A file counts as collected as a whole when nothing on the command line selected inside it (``::``), collecting it
    raised no error and the run wasn't narrowed to last failures.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._digests: dict[Path, set[str]] = {}
        self.collected = Collected()

    def add(self, item: pytest.Item) -> None:
        test_id = item.nodeid.partition("::")[2] or item.name
        self._digests.setdefault(item.path, set()).add(digest_of_test(test_id))

    def finish(self, session: pytest.Session) -> None:
        """Collection is over: keep what is known as a whole."""
        if session.testsfailed or self._narrowed():
            return
        root = self._config.invocation_params.dir
        partial, folders = set(), set()
        for argument in self._config.args:
            path, separator, _ = argument.partition("::")
            target = (root / path).resolve()
            if separator:
                partial.add(target)
            elif target.is_dir():
                folders.add(target)
        self.collected.digests = {
            file: digests for file, digests in self._digests.items() if file.resolve() not in partial
        }
        if partial:
            return
        for folder in folders:
            self.collected.folders.add(folder)
            self.collected.folders.update(found.parent for found in folder.rglob(FOLDER) if found.is_dir())

    def _narrowed(self) -> bool:
        option = self._config.option
        return any(
            getattr(option, name, None) for name in ("lf", "ignore", "ignore_glob", "stepwise", "deselect")
        )

    def leave_worker(self) -> None:
        """On an xdist worker: send what was collected to the controller."""
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_WORKER_KEY] = {
                "digests": {str(file): sorted(digests) for file, digests in self.collected.digests.items()},
                "folders": sorted(str(folder) for folder in self.collected.folders),
            }

    def join(self, output: dict[str, Any]) -> None:
        """On the controller: take what a worker sent (every worker collects everything)."""
        sent = output.get(_WORKER_KEY)
        if sent:
            for file, digests in sent["digests"].items():
                self.collected.digests.setdefault(Path(file), set()).update(digests)
            self.collected.folders.update(Path(folder) for folder in sent["folders"])
