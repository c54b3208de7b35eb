"""Steps that turn one ONNX file into another: what they are, and running one. Nothing here knows of tags."""

from pytest_htp.stages.run import StageFailure, run_stage
from pytest_htp.stages.stage import BUILT_IN, Stage, resolve_stages

__all__ = ["BUILT_IN", "Stage", "StageFailure", "resolve_stages", "run_stage"]
