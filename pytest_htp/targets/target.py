"""``Target``: a device and the compiler for it, by name and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from pytest_htp.errors import HTPUsageError
from pytest_htp.targets.qnn_options import check_qnn_options

ORT = "pytest_htp.targets.compilers.ort:compile_graph"

CPU = "CPUExecutionProvider"
QNN = "QNNExecutionProvider"


@dataclass(frozen=True)
class Target:
    """A device and the compiler for it, which takes a graph and decides what runs where.

    Attributes:
        name: what the target is called in results and baselines.
        library: the shared library of a plugin execution provider; None for a provider that is in onnxruntime itself.
        provider: an ONNX Runtime execution provider, like ``"QNNExecutionProvider"``.
        options: of the provider; values are written as text.
        compiler: ``"package.module:function"``, called in the worker process instead of ONNX Runtime, see
            ``docs/how-to/extend.md``.
        package: the importable package that the compiler needs.
        extra: the extra of pytest-htp that brings the package.

    Raises:
        HTPUsageError: a name or option that can't be used.
    """

    name: str
    library: str | None = None
    provider: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    compiler: str = ORT
    package: str = "onnxruntime"
    extra: str = "parity"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise HTPUsageError(f"a target's name must be a printable word, got {self.name!r}")
        if not isinstance(self.options, Mapping):
            raise HTPUsageError(
                f"options of target {self.name!r} must be a mapping from name to value, "
                f"got {type(self.options).__name__}"
            )
        if self.compiler == ORT and not self.provider:
            raise HTPUsageError(
                f"target {self.name!r} needs the execution provider that compiles for it: "
                f"Target({self.name!r}, provider='…ExecutionProvider')"
            )
        object.__setattr__(self, "options", {key: _text(self.name, key, value) for key, value in self.options.items()})
        if self.compiler == ORT:
            self._check_options()

    def _check_options(self) -> None:
        """What these providers do with a bad option: they ignore it, or leave all nodes to the CPU."""
        if self.provider == CPU and self.options:
            name = next(iter(self.options))
            raise HTPUsageError(f"target {self.name!r} has no option {name!r}: {CPU} has none and would ignore it")
        if self.provider == QNN:
            check_qnn_options(self.name, self.options, own_library=self.library is not None)

    def with_options(self, options: Mapping[str, object]) -> Target:
        """The same target with further options; those given win.

        Raises:
            HTPUsageError: an option that the target does not have.
        """
        if not isinstance(options, Mapping):
            raise HTPUsageError(
                f"options of target {self.name!r} must be a mapping like {{'htp_arch': '75'}}, got {options!r}"
            )
        return replace(self, options={**self.options, **options})

    @property
    def distributions(self) -> tuple[str, ...]:
        """Names of the packages that decide what becomes of a graph, as they are installed."""
        own = self.package.replace("_", "-")
        return ("onnxruntime", own) if self.compiler == ORT and own != "onnxruntime" else (own,)

    def require(self) -> None:
        """Refuse a target whose package is not installed.

        Raises:
            HTPUsageError: names the extra that brings it.
        """
        if find_spec(self.package) is None:
            raise HTPUsageError(
                f"target {self.name!r} needs the package {self.package}, which is not installed: "
                f"pip install 'pytest-htp[{self.extra}]'"
                if self.extra
                else f"target {self.name!r} needs the package {self.package}, which is not installed"
            )


def _text(target: str, key: object, value: object) -> str:
    if not isinstance(key, str) or not key:
        raise HTPUsageError(f"option names of target {target!r} must be text, got {key!r}")
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str | int | float):
        return str(value)
    raise HTPUsageError(f"option {key!r} of target {target!r} must be text or a number, got {value!r}")
