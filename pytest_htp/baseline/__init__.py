"""Baseline files: where they are, how they are written (syrupy's machinery, atomically), which are stale."""

FOLDER = "__htp_baselines__"
