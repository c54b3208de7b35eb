"""Many exports in one process leave nothing behind; ``benchmarks/longrun.py`` measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "longrun.py"


@pytest.mark.slow
def test_a_long_run_is_flat() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--exports", "120"], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    print(done.stdout)
    # The allocator's own jitter is a few KiB an export; a leaked graph or model would be hundreds.
    assert result["slope_kib_per_export"] < 64
    assert result["left_files"] == []
    assert result["left_descriptors"] == result["left_threads"] == result["left_hooks"] == 0
    assert result["training"]
