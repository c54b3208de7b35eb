"""Keep tests that share an export on one xdist worker (``--dist loadgroup``)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

_SHARING_SCOPES = ("module", "package", "session", "class")


def group_by_shared_models(item: pytest.Item) -> None:
    """Give tests that ask for the same wider-scoped fixtures of the project one ``xdist_group``.

    Which exports tests share shows only when they run; tests that take the same module- or session-scoped
    fixture (a model, a config) are the ones that ask for the same export. Autouse fixtures don't count: they
    would put a whole project on one worker. A group that the user set stays.
    """
    # Only workers group; the plugin has another name there, and without it the marker would be unknown.
    if not hasattr(item.config, "workerinput") or item.get_closest_marker("xdist_group"):
        return
    info = getattr(item, "_fixtureinfo", None)
    if info is None:
        return
    callspec = getattr(item, "callspec", None)
    shared = []
    for name in _asked_for(info):
        definition = info.name2fixturedefs[name][-1]
        if definition.scope in _SHARING_SCOPES and _of_the_project(definition.func, item.config.rootpath):
            index = callspec.indices.get(name, "") if callspec is not None else ""
            shared.append(f"{definition.baseid}:{name}:{index}")
    if shared:
        # xdist appends the name to node ids and finds it again by the last "@": so no "@", "]" or path in it.
        digest = sha256("\n".join(sorted(shared)).encode("utf-8", "surrogatepass")).hexdigest()[:8]
        item.add_marker(pytest.mark.xdist_group(f"htp-{digest}"))


def _asked_for(info: Any) -> set[str]:
    """Names of the fixtures that the test's own arguments need, directly or through others."""
    names: set[str] = set()
    waiting = list(info.argnames)
    while waiting:
        name = waiting.pop()
        if name not in names and info.name2fixturedefs.get(name):
            names.add(name)
            waiting += info.name2fixturedefs[name][-1].argnames
    return names


def _of_the_project(function: object, root: Path) -> bool:
    """Whether a fixture is defined in the project rather than in a plugin."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    file = Path(code.co_filename)
    return root in file.parents and "site-packages" not in file.parts
