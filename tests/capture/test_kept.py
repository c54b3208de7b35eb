"""What the watched pass keeps stays what it was, and is copied only where something writes to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pytest_htp.capture.hierarchy import Hierarchy, watch_forward


class Net(nn.Module):
    """A layer whose result ``write`` may change before it is returned."""

    def __init__(self, write: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.write = write
        self.register_buffer("state", torch.zeros(3))
        self.stash: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.write(self.layer(x + 1))


def watch(write: Callable[[Tensor], Tensor], model: Net | None = None) -> Hierarchy:
    return watch_forward(model or Net(write), (torch.zeros(2, 3),), {}, keep_tensors=True)


def through_data(y: Tensor) -> Tensor:
    y.data.mul_(7)
    return y


def through_out(y: Tensor) -> Tensor:
    torch.mul(y, 7, out=y)
    return y


def through_a_view(y: Tensor) -> Tensor:
    y[0].mul_(7)
    return y


def through_a_list(y: Tensor) -> Tensor:
    torch._foreach_mul_([y], 7.0)
    return y


WRITES = [lambda y: y.mul_(7), through_data, through_out, through_a_view, through_a_list, lambda y: nn.ReLU(True)(-y)]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_leaves_what_was_seen(write: Callable[[Tensor], Tensor]) -> None:
    hierarchy = watch(write)
    (kept,) = hierarchy.calls[1].outputs
    assert not kept.overwritten
    assert torch.equal(kept.tensor, torch.ones(2, 3))
    (returned,) = hierarchy.calls[0].outputs
    assert torch.equal(returned.tensor, write(torch.ones(2, 3)))


def test_what_is_written_through_data_is_seen_anew() -> None:
    model = Net(through_data)
    model.after = nn.Identity()
    model.write = lambda y: model.after(through_data(y))
    hierarchy = watch(model.write, model)
    assert torch.equal(hierarchy.calls[2].outputs[0].tensor, torch.full((2, 3), 7.0))


def test_nothing_is_copied_where_nothing_writes() -> None:
    seen: list[int] = []

    def note(y: Tensor) -> Tensor:
        seen.append(y.data_ptr())
        return y * 2

    hierarchy = watch(note)
    assert [record.tensor.data_ptr() for record in hierarchy.calls[1].outputs] == seen


def test_inputs_and_buffers_are_copied_at_once() -> None:
    """The model's next run may write to them."""
    model = Net(lambda y: y)
    model.write = lambda y: model.layer(model.state)
    hierarchy = watch(model.write, model)
    given = hierarchy.calls[0].inputs[0].tensor
    state = hierarchy.calls[-1].outputs[0].tensor
    model.state.add_(5)
    assert given.data_ptr() not in (0, model.state.data_ptr())
    assert torch.equal(state, torch.zeros(3))


def test_a_write_after_the_pass_is_known() -> None:
    model = Net(lambda y: y)

    def stash(y: Tensor) -> Tensor:
        model.stash = y
        return y * 2

    model.write = stash
    hierarchy = watch(stash, model)
    (kept,) = hierarchy.calls[1].outputs
    assert model.stash is not None
    assert not kept.overwritten
    model.stash.mul_(3)
    assert kept.overwritten


def test_what_was_returned_stays_whatever_the_model_does_to_it() -> None:
    held: list[Tensor] = []

    def hold(y: Tensor) -> Tensor:
        held.append(y * 2)
        return held[0]

    hierarchy = watch(hold)
    held[0].zero_()
    assert torch.equal(hierarchy.result, torch.full((2, 3), 2.0))


def test_branches_of_control_flow_are_copied_in() -> None:
    """Writes inside of them are not shown to the mode that watches."""
    model = Net(lambda y: y)

    def branch(y: Tensor) -> Tensor:
        return model.layer(y * 1).mul_(7)

    model.write = lambda y: torch.cond(y.sum() > 0, branch, lambda z: z.clone(), (y,))
    hierarchy = watch(model.write, model)
    inner = [call for call in hierarchy.calls if call.path == "layer"]
    assert all(torch.equal(record.tensor, torch.ones(2, 3)) for call in inner for record in call.outputs)
