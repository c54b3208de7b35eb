"""What the plugin costs those who don't use it: no heavy import in a run without exports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "rich", "numpy", "jinja2")
CHECK = f"""
import sys
def pytest_unconfigure():
    print("imported:", [name for name in {HEAVY!r} if name in sys.modules])
"""


def test_collecting_an_empty_project_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(CHECK)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--co", "-p", "no:hypothesispytest", "-p", "no:html"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "imported: []" in done.stdout, done.stdout + done.stderr
    assert "htp" in done.stdout.partition("plugins:")[2]


def test_imports_are_light() -> None:
    for module in ("pytest_htp", "pytest_htp.plugin", "pytest_htp.testing"):
        code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", module
