"""How good is what ships: signal-to-quantization-noise of every module's values, and where it goes."""

from pytest_htp.quality.measure import QualityRequest, StageMeasurement, measure_quality, measure_stage
from pytest_htp.quality.result import Measured, Quality
from pytest_htp.quality.sqnr import EXACT, Undefined, sqnr

__all__ = [
    "EXACT",
    "Measured",
    "Quality",
    "QualityRequest",
    "StageMeasurement",
    "Undefined",
    "measure_quality",
    "measure_stage",
    "sqnr",
]
