"""The passes that carry tags, in the order they run. Precision of each: ``docs/reference/stages.md``."""

from __future__ import annotations

from typing import Protocol

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.passes.absorbed import AbsorbedPass
from pytest_htp.carry.passes.conversions import ConversionsPass
from pytest_htp.carry.passes.made_names import MadeNamesPass
from pytest_htp.carry.passes.made_value_names import MadeValueNamesPass
from pytest_htp.carry.passes.positions import PositionsPass
from pytest_htp.carry.passes.regions import RegionsPass
from pytest_htp.carry.passes.same_node import SameNodePass
from pytest_htp.carry.passes.same_operation import SameOperationPass
from pytest_htp.carry.passes.same_value import SameValuePass
from pytest_htp.carry.passes.weights import WeightsPass


class CarryPass(Protocol):
    """Learns which values correspond, or decides undecided nodes; never changes what an earlier pass decided."""

    def run(self, graphs: Correspondence) -> None: ...


def default_passes() -> tuple[CarryPass, ...]:
    """Strongest evidence first."""
    return (
        SameNodePass(),
        SameValuePass(),
        PositionsPass(),
        SameOperationPass(),
        RegionsPass(),
        MadeNamesPass(),
        WeightsPass(),
        MadeValueNamesPass(),
        ConversionsPass(),
        AbsorbedPass(),
    )


__all__ = ["CarryPass", "default_passes"]
