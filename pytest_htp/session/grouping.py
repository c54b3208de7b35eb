"""Keep tests that may share an export on one xdist worker (``--dist loadgroup``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import pytest

from pytest_htp.session.model_names import models_of, of_the_project

_SHARING_SCOPES = ("module", "package", "session", "class")


def groups_wanted(config: pytest.Config) -> bool:
    """Only workers group; the plugin has another name there, and without it the marker would be unknown."""
    return hasattr(config, "workerinput") and bool(config.getoption("loadgroup", False))


def group_by_shared_models(items: Iterable[pytest.Item]) -> None:
    """Give tests that ask for the same model one ``xdist_group``.

    Which exports tests share shows only when they run. Tests ask for the same one where they take the same wider-scoped
    fixtures of the project, where their code reads the same model, config, saved folder or factory of a module, or
    where a manifest names the same model. Tests that have one of these in common are one group, directly or through
    others. Autouse fixtures don't count: they would put a whole project on one worker. A group that the user set stays.
    """
    groups = _Groups()
    for item in items:
        if "htp_export" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("xdist_group"):
            groups.add(item, dict(_what_it_shares(item)))
    for item, group in groups.of_several():
        item.add_marker(pytest.mark.xdist_group(group))


def restore_group_names(items: Iterable[pytest.Item]) -> None:
    """Name tests as xdist wanted to: it finds a test's group in the node id.

    xdist 3.8 sets an attribute for that which pytest reads no more since 9.1; its groups would fall apart. Where
    pytest keeps node ids in yet another way, that is xdist's to know.
    """
    for item in items:
        named, kept = vars(item).get("_nodeid"), getattr(item, "_id", None)
        parse = getattr(type(kept), "parse", None)
        if named and parse and named != item.nodeid and "htp_export" in getattr(item, "fixturenames", ()):
            node: Any = item
            node._id = parse(named)


class _Groups:
    """Items with what they share; what one item shares belongs together."""

    def __init__(self) -> None:
        self._items: list[tuple[pytest.Item, str]] = []
        self._parents: dict[str, str] = {}
        self._labels: dict[str, set[str]] = {}

    def add(self, item: pytest.Item, shared: dict[str, str]) -> None:
        """
        Args:
            shared: what tells a shared thing from others in this process → what it's called in every process.
        """
        for key, label in shared.items():
            self._labels.setdefault(key, set()).add(label)
            self._parents[self._root(key)] = self._root(next(iter(shared)))
        if shared:
            self._items.append((item, next(iter(shared))))

    def of_several(self) -> Iterator[tuple[pytest.Item, str]]:
        """Every item that is not alone in its group, and the group's name: the same on all workers."""
        members: dict[str, set[str]] = {}
        for key, labels in self._labels.items():
            members.setdefault(self._root(key), set()).update(labels)
        sizes = Counter(self._root(key) for _, key in self._items)
        for item, key in self._items:
            root = self._root(key)
            if sizes[root] > 1:
                # xdist appends the name to node ids and finds it again by the last "@": so no "@", "]" or path in it.
                text = "\n".join(sorted(members[root]))
                yield item, f"htp-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"

    def _root(self, key: str) -> str:
        while (parent := self._parents.setdefault(key, key)) != key:
            key = parent
        return key


def _what_it_shares(item: pytest.Item) -> Iterator[tuple[str, str]]:
    fixtures = sorted(_shared_fixtures(item))
    if fixtures:
        yield "\n".join(fixtures), "\n".join(fixtures)
    yield from models_of(item)


def _shared_fixtures(item: pytest.Item) -> Iterator[str]:
    info = getattr(item, "_fixtureinfo", None)
    if info is None:
        return
    callspec = getattr(item, "callspec", None)
    for name in _asked_for(info):
        definition = info.name2fixturedefs[name][-1]
        if definition.scope in _SHARING_SCOPES and of_the_project(definition.func, item.config.rootpath):
            index = callspec.indices.get(name, "") if callspec is not None else ""
            yield f"{definition.baseid}:{name}:{index}"


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
