"""What counts as noise is the same where parity is measured and where it is compared."""

from __future__ import annotations

import torch

from pytest_htp.compare.rules.parity import NOISE
from pytest_htp.parity.tolerance import tolerance_for


def test_the_floors_are_those_that_records_are_written_with() -> None:
    types = {
        "DOUBLE": torch.float64, "COMPLEX128": torch.complex128, "FLOAT": torch.float32, "COMPLEX64": torch.complex64,
        "FLOAT16": torch.float16, "BFLOAT16": torch.bfloat16,
    }  # fmt: skip
    assert {name: float(tolerance_for(dtype).floor) for name, dtype in types.items()} == NOISE
    assert float(tolerance_for(torch.int64).floor) == 0
