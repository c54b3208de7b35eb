"""Versions of the tools that shape an export."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from pytest_htp import __version__

_TOOLS = ("onnx", "onnx-ir", "onnxscript", "torch")


def toolchain_versions(*, transformers: bool, onnxruntime: bool = False, further: Iterable[str] = ()) -> dict[str, str]:
    """Package → version without the local part (``2.13.0+cpu`` and ``2.13.0+cu128`` export the same graph).

    Args:
        transformers: whether it takes part.
        onnxruntime: whether it does (stages are its).
        further: packages of targets.
    """
    versions = {"pytest-htp": __version__}
    optional = {"transformers": transformers, "onnxruntime": onnxruntime}
    for package in (*_TOOLS, *(name for name, takes_part in optional.items() if takes_part), *further):
        try:
            versions[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            continue
    return dict(sorted(versions.items()))
