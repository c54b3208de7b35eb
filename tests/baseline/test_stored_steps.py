"""A number within a step of the stored one is the stored one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import convert, to_builtins

from pytest_htp.baseline.steps import with_stored_steps
from pytest_htp.baseline.stored import Stored
from pytest_htp.baseline.stored import carried_over as carried_over_record
from pytest_htp.format.read import record_of
from pytest_htp.format.record import QualityRow, Record
from tests.compare._records import add_ops, bert, edited

TOLERANCE = 6.0


def carried_over(before: dict[str, Any], current: dict[str, Any]) -> Record:
    return carried_over_record(record_of(before), record_of(current), TOLERANCE)


def quality(modules: list[dict[str, Any]], outputs: list[dict[str, Any]] | None = None) -> QualityRow:
    return convert({"measured": True, "modules": modules, "outputs": outputs or []}, QualityRow)


def number(sqnr: int | None, entering: int | None = None, **other: Any) -> dict[str, Any]:
    return {"path": "a", "sqnr": sqnr, **({} if entering is None else {"entering": entering}), **other}


def stored(before: dict[str, Any], now: dict[str, Any], tolerance: float = TOLERANCE) -> dict[str, Any]:
    (row,) = with_stored_steps(quality([before]), quality([now]), tolerance).modules
    values: dict[str, Any] = to_builtins(row)
    return values


@pytest.mark.parametrize(
    ("was", "now", "kept"),
    [(30, 30, 30), (30, 27, 30), (30, 33, 30), (30, 24, 24), (30, 36, 36), (-3, 0, -3), (99, 96, 99), (None, 30, 30)],
)
def test_within_a_step_the_stored_number_stays_and_beyond_it_moves(
    was: int | None, now: int | None, kept: int | None
) -> None:
    assert stored(number(was), number(now)) == number(kept)
    assert stored(number(60, was), number(60, now)) == number(60, kept)
    name = {"name": "y"}
    outputs = with_stored_steps(quality([], [{**name, "sqnr": was}]), quality([], [{**name, "sqnr": now}]), TOLERANCE)
    assert outputs == quality([], [{**name, "sqnr": kept}])


def test_drift_does_not_creep() -> None:
    """Held against is the stored number, not the last one measured."""
    held, seen = number(30), []
    for measured in (27, 27, 24, 21, 18):
        held = stored(held, number(measured))
        seen.append(held["sqnr"])
    assert seen == [30, 30, 24, 24, 18]


@pytest.mark.parametrize(("tolerance", "kept"), [(0, 27), (2.9, 27), (3, 30)])
def test_what_is_reported_is_stored_once_accepted(tolerance: float, kept: int) -> None:
    assert stored(number(30), number(27), tolerance)["sqnr"] == kept


def test_no_number_is_kept_where_there_is_none_now() -> None:
    broken = number(None, reason="not finite")
    assert stored(number(30), broken) == broken
    assert stored(broken, number(30)) == number(30)


def test_layers_are_unfolded_and_folded_again() -> None:
    before = quality([{"path": "layer.{0..3}", "sqnr": 30}, {"path": "head", "sqnr": 60}])
    now = quality(
        [{"path": "layer.{0,2}", "sqnr": 27}, {"path": "layer.{1,3,4}", "sqnr": 30}, {"path": "new", "sqnr": 3}]
    )
    kept = quality([{"path": "layer.{0..4}", "sqnr": 30}, {"path": "new", "sqnr": 3}])
    assert with_stored_steps(before, now, TOLERANCE) == kept


def with_stage(sqnr: int, decade: str = "1e-03", *, nodes: int = 0) -> dict[str, Any]:
    """A record with a stage whose graph may have other operators."""
    record = bert()
    stage = {
        key: value for key, value in bert().items() if key not in ("schema", "model", "toolchain", "test", "export")
    }
    if nodes:
        rows = stage["modules"]
        add_ops(next(row for row in rows if row["path"] == "pooler"), {"Mul": nodes})
    stage["parity"]["outputs"][0]["max_abs"] = decade
    record["stages"] = [{**stage, "name": "int8", "quality": to_builtins(quality([number(sqnr)]))}]
    return record


def test_a_stage_within_noise_leaves_the_file_as_it_is() -> None:
    before = with_stage(30)
    assert carried_over(before, with_stage(27, "1e-04")) == record_of(before)
    assert carried_over(before, with_stage(24)) == record_of(with_stage(24))
    assert carried_over(before, with_stage(30, "1e-06")) == record_of(with_stage(30, "1e-06"))


def test_where_another_thing_changed_the_steps_stay() -> None:
    before = with_stage(30)
    assert carried_over(before, with_stage(27, nodes=1)) == record_of(with_stage(30, nodes=1))
    assert carried_over(before, with_stage(24, nodes=1)) == record_of(with_stage(24, nodes=1))
    opset = edited(lambda record: record["opset"].update({"": 99}), with_stage(27))
    assert carried_over(before, opset).stages == record_of(before).stages


def test_what_today_could_not_measure_of_a_stage_stays_while_its_graph_does() -> None:
    def without(record: dict[str, Any]) -> dict[str, Any]:
        """As with ``--htp-no-parity``."""
        (stage,) = record["stages"]
        stage.update({section: {"measured": False, "reason": "off"} for section in ("parity", "attestation")})
        del stage["quality"]
        return record

    before = with_stage(30)
    assert carried_over(before, without(with_stage(30))) == record_of(before)
    assert carried_over(before, without(with_stage(30, nodes=1))) == record_of(without(with_stage(30, nodes=1)))
    unasked = with_stage(30)
    del unasked["stages"][0]["quality"]
    assert carried_over(before, unasked) == record_of(unasked)


def test_a_stage_that_is_new_is_stored_as_it_is() -> None:
    assert carried_over(bert(), with_stage(27)) == record_of(with_stage(27))
    assert carried_over(with_stage(27), bert()) == record_of(bert())


def measured(sqnr: int, peak: float | None) -> dict[str, Any]:
    """A record with a stage whose output of two values peaks there; without a peak as a version before stored it."""
    record = with_stage(sqnr)
    known = {} if peak is None else {"values": 2}
    output = {"name": "y", "sqnr": sqnr, **known, **({} if peak is None else {"extremes": [-peak, peak]})}
    record["stages"][0]["quality"] = to_builtins(quality([number(sqnr, **known)], [output]))
    return record


def stored_record(values: dict[str, Any]) -> Stored:
    return Stored(Path("b.json"), record_of(values))


@pytest.mark.parametrize(("now", "kept"), [(1.0009, 1.0), (1.002, 1.002)])
def test_extremes_that_are_the_same_on_another_machine_stay_where_a_number_moves(now: float, kept: float) -> None:
    assert carried_over(measured(30, 1.0), measured(24, now)) == record_of(measured(24, kept))


def test_where_no_number_moves_other_weights_and_sizes_change_nothing() -> None:
    other = measured(27, 2.0)
    for row in [*other["stages"][0]["quality"]["modules"], *other["stages"][0]["quality"]["outputs"]]:
        row["values"] = 6
    assert carried_over(measured(30, 1.0), other) == record_of(measured(30, 1.0))
    other["stages"][0]["quality"]["modules"][0]["sqnr"] = 24
    kept = carried_over(measured(30, 1.0), other).stages[0].quality
    assert kept is not None
    assert [(row.sqnr, row.values) for row in [*kept.modules, *kept.outputs]] == [(24, 6), (30, 6)]
    assert kept.outputs[0].extremes == [-2.0, 2.0]


def test_a_baseline_of_a_version_before_holds_what_it_could_and_gets_extremes_when_it_is_stored_anew() -> None:
    before = stored_record(measured(30, None))
    assert before.holds(record_of(measured(27, 1.0)), TOLERANCE)
    assert not before.holds(record_of(measured(24, 1.0)), TOLERANCE)
    assert stored_record(measured(30, 2.0)).holds(record_of(measured(30, 1.0)), TOLERANCE)
    assert not stored_record(measured(30, 2.0)).holds(record_of(measured(24, 1.0)), TOLERANCE)
    assert carried_over(measured(30, None), measured(27, 1.0)) == record_of(measured(30, 1.0))
