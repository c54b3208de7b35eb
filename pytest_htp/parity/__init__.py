"""PyTorch against ONNX Runtime: does each module compute the same, and do its tags tell the truth?"""

from pytest_htp.parity.measure import measure_parity, parity_unavailable
from pytest_htp.parity.result import Difference, Divergence, ParityRequest, ParityResult

__all__ = ["Difference", "Divergence", "ParityRequest", "ParityResult", "measure_parity", "parity_unavailable"]
