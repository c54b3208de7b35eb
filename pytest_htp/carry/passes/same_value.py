"""Pass 2: values of the same name, or equal in a run."""

from __future__ import annotations

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.names import without_first_word


class SameValuePass:
    """A tensor that has a name of the graph before is that tensor.

    Rules, in order:

    1. by name: optimizers keep the names of tensors whose consumers they don't touch; not where it has moved to another
       place;
    2. by a name behind one word of the tool's (``InsertedPrecisionFreeCast_linear``): the same in another precision;
    3. by value: both graphs were run on the same input, and exactly one tensor was equal in the precision of the
       coarser one (``carry.values``).

    Which nodes the maker of such a tensor stands for is decided by the next passes.
    """

    def run(self, graphs: Correspondence) -> None:
        for facts in graphs.after.nodes:
            for value in facts.node.outputs:
                if value in graphs.values or not value.name:
                    continue
                own = (value.name, without_first_word(value.name)) if facts.node not in graphs.renumbered else ()
                names = (*own, graphs.measured.get(value.name))
                known = next((graphs.values_before[name] for name in names if name in graphs.values_before), None)
                if known is not None:
                    graphs.values[value] = known
