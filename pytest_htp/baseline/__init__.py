"""Baseline files: where they are, how they are written (syrupy's machinery, atomically), which are stale."""
