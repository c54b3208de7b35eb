"""PyTorch against ONNX Runtime: does each module compute the same, and do its tags tell the truth?"""

from pytest_htp.parity.further import derived_sets, given_sets
from pytest_htp.parity.measure import measure_parity, parity_unavailable
from pytest_htp.parity.result import Difference, Divergence, InputSet, ParityRequest, ParityResult

__all__ = [
    "Difference",
    "Divergence",
    "InputSet",
    "ParityRequest",
    "ParityResult",
    "derived_sets",
    "given_sets",
    "measure_parity",
    "parity_unavailable",
]
