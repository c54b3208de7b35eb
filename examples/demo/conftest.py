"""Puts the repository on the path, so that the demo also runs against an installed pytest-htp."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
