"""How close is close enough, by element type.

An element is beyond tolerance where ``|got - expected| > rtol * |expected| + atol * max(1, max|expected|)``:
the absolute part grows with the tensor, since the error of an element near zero comes from sums of elements
that are not. A user's own ``atol`` is taken as it is. The type that counts is the one a value was computed in
(``precision``), not the one it was cast up to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Tolerances of one element type; ``scaled`` says that ``atol`` is per unit of the largest magnitude.

    ``localise`` and ``match`` are relative to a tensor's largest magnitude: above ``localise`` a module's
    output counts as off, up to ``match`` a value of the graph is taken for the tensor that a module returned.
    Above ``spread``, of root mean squares, it counts as off as well: rounding is another one in each element, so that
    its mean is steadier than its largest, and an error of all elements is seen sooner.
    ``floor`` is the decade below which a difference is rounding noise and not recorded.
    """

    rtol: float
    atol: float
    localise: float
    match: float
    floor: str
    spread: float
    scaled: bool = True


_EXACT = Tolerance(0.0, 0.0, 0.0, 0.0, "0", 0.0)  # integers and booleans
_BY_DTYPE = {
    # Constants that an exporter rounded to fp32 stay visible.
    torch.float64: Tolerance(1e-6, 1e-7, 1e-9, 1e-6, "1e-08", 3e-10),
    # rtol: torch.onnx.verification; localise: a prototype's 770 faults, 0 wrong (84 machine epsilons); spread: 25.
    torch.float32: Tolerance(1e-3, 1e-4, 1e-5, 1e-4, "1e-05", 3e-6),
    # 5 to 20 machine epsilons (9.8e-4); spread: measured, docs/reference/parity.md.
    torch.float16: Tolerance(1e-2, 1e-2, 5e-3, 2e-2, "1e-02", 5e-3),
    # 5 to 13 machine epsilons (7.8e-3); spread: measured, docs/reference/parity.md.
    torch.bfloat16: Tolerance(5e-2, 5e-2, 4e-2, 1e-1, "1e-01", 4e-2),
}
Precision = Literal["float16", "bfloat16", "int8"]
"""What a stage computes in, where that is coarser than PyTorch."""
_BY_PRECISION: dict[Precision, Tolerance] = {
    "float16": _BY_DTYPE[torch.float16],
    "bfloat16": _BY_DTYPE[torch.bfloat16],
    # 20 dB between peak and error; spread: measured, docs/reference/parity.md.
    "int8": Tolerance(1e-1, 1e-1, 1e-1, 1e-1, "1e-01", 1e-1),
}
_COMPLEX = {torch.complex64: torch.float32, torch.complex128: torch.float64, torch.complex32: torch.float16}


def tolerance_for(
    dtype: torch.dtype,
    rtol: float | None = None,
    atol: float | None = None,
    precision: Precision | None = None,
) -> Tolerance:
    """The tolerances for expected values of ``dtype``, computed in ``precision`` if that is coarser.

    A user's ``rtol`` or ``atol`` replaces the default of every floating-point type; a looser ``rtol`` also
    loosens localisation, to a hundredth of it.
    """
    default = _BY_DTYPE.get(_COMPLEX.get(dtype, dtype), _EXACT)
    if precision is not None and default is not _EXACT:
        default = max(default, _BY_PRECISION[precision], key=lambda tolerance: tolerance.match)
    if default is _EXACT or (rtol is None and atol is None):
        return default
    localise = default.localise if rtol is None else max(default.localise, rtol / 100)
    return Tolerance(
        rtol=default.rtol if rtol is None else rtol,
        atol=default.atol if atol is None else atol,
        localise=localise,
        match=default.match,
        floor=default.floor,
        spread=default.spread * localise / default.localise,
        scaled=atol is None,
    )
