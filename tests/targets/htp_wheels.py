"""Vendors' compilers as tests need them: where a platform has no wheel, the skip says so."""

from __future__ import annotations

import platform
from importlib.util import find_spec

import pytest

_MACHINE = f"{platform.system()} {platform.machine()}"


def needs(package: str, extra: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        find_spec(package) is None,
        reason=f"{package} is not installed: pip install 'pytest-htp[{extra}]', if it has a wheel for {_MACHINE}",
    )


QNN = needs("onnxruntime_qnn", "qnn")
OPENVINO = needs("openvino", "openvino")
