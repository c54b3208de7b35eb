"""The targets that come with pytest-htp, and how an option names targets."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_htp.errors import HTPUsageError, suggestion
from pytest_htp.targets.qnn_options import QNN_DEFAULTS
from pytest_htp.targets.target import CPU, QNN, Target

BUILT_IN = {
    "cpu": Target("cpu", provider=CPU),
    "qnn": Target(
        "qnn",
        provider=QNN,
        options=QNN_DEFAULTS,
        package="onnxruntime_qnn",
        extra="qnn",
    ),
    "openvino": Target(
        "openvino",
        options={"device": "CPU"},
        compiler="pytest_htp.targets.compilers.openvino:compile_graph",
        package="openvino",
        extra="openvino",
    ),
}


def resolve_targets(given: object, known: Mapping[str, Target] = BUILT_IN) -> tuple[Target, ...]:
    """The targets that an option names.

    Args:
        given: a name, a :class:`Target`, a list of these, or a mapping from name to options.
        known: targets by name.

    Raises:
        HTPUsageError: an unknown name (lists what is known), one given twice, a bad option.
    """
    entries: list[tuple[object, Mapping[str, object]]]
    if isinstance(given, Mapping):
        entries = [(name, {} if options is None else options) for name, options in given.items()]
    elif isinstance(given, str | Target):
        entries = [(given, {})]
    elif isinstance(given, list | tuple):
        entries = [(entry, {}) for entry in given]
    else:
        raise HTPUsageError(
            f"option targets must be a list like ['cpu', 'qnn'] or a mapping from name to options, got {given!r}"
        )
    targets = []
    for entry, options in entries:
        target = entry if isinstance(entry, Target) else _named(entry, known)
        targets.append(target.with_options(options) if options else target)
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise HTPUsageError(f"target {name!r} is given twice; give each a name of its own: Target(name, …)")
    return tuple(targets)


def _named(name: object, known: Mapping[str, Target]) -> Target:
    if isinstance(name, str) and name in known:
        return known[name]
    hint = suggestion(name, known)
    raise HTPUsageError(f"unknown target {name!r}{hint}; known targets: {', '.join(sorted(known))}, or a Target(…)")
