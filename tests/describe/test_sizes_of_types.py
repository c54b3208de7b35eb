"""How large elements are is the same where weights are described and where they are compared."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.compare.rules.weights import _SIZES


def test_sizes_of_element_types() -> None:
    numbers = [dtype for dtype in ir.DataType if dtype not in (ir.DataType.UNDEFINED, ir.DataType.STRING)]
    assert {dtype.name: _SIZES.get(dtype.name, 1) for dtype in numbers} == {
        dtype.name: dtype.itemsize for dtype in numbers
    }
