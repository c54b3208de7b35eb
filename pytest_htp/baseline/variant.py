"""``htp_baseline_variant``: baselines of their own for a toolchain."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from pytest_htp.errors import HTPUsageError

_TOOLS = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
_FIELD = re.compile(r"\{([^{}]*)\}")


def resolve_variant(template: str) -> str:
    """The variant's name for the running toolchain; ``""`` for the common baselines.

    Args:
        template: the name of a tool (``torch`` gives ``torch-2.13``), a template with packages in braces
            (``torch{torch}-tf{transformers}``), or a fixed name (``nightly``). Versions are cut to
            major.minor: a patch release that needs other baselines is a finding, not a variant.

    Raises:
        HTPUsageError: a package in braces that is not installed.
    """
    text = template.strip()
    if text in _TOOLS:
        text = f"{text}-{{{text}}}"
    return _FIELD.sub(lambda match: _minor_version(match[1].strip(), template), text)


def _minor_version(package: str, template: str) -> str:
    try:
        return ".".join(version(package).partition("+")[0].split(".")[:2])
    except (PackageNotFoundError, ValueError):
        raise HTPUsageError(
            f"htp_baseline_variant = {template!r}: no package {package!r} is installed; "
            f"use one of {', '.join(_TOOLS)}, or a fixed name"
        ) from None
