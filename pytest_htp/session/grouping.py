"""Keep tests that share an export on one xdist worker (``--dist loadgroup``)."""

from __future__ import annotations

import pytest

_SHARING_SCOPES = ("module", "package", "session", "class")


def group_by_shared_models(item: pytest.Item) -> None:
    """Give tests that use the same wider-scoped fixtures of their own one ``xdist_group``.

    Which exports tests share shows only when they run; tests that take the same module- or session-scoped fixture (a model, a
    config) are the ones that ask for the same export. A group that the user set stays.
    """
    if not item.config.pluginmanager.hasplugin("xdist") or item.get_closest_marker("xdist_group"):
        return
    info = getattr(item, "_fixtureinfo", None)
    if info is None:
        return
    shared = []
    for name, definitions in info.name2fixturedefs.items():
        definition = definitions[-1]
        if definition.scope in _SHARING_SCOPES and definition.baseid and name in item.fixturenames:
            value = getattr(item, "callspec", None)
            index = value.indices.get(name, "") if value is not None else ""
            shared.append(f"{definition.baseid}:{name}:{index}")
    if shared:
        item.add_marker(pytest.mark.xdist_group("htp " + " ".join(sorted(shared))))
