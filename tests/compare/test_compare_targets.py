"""What became of a graph on a device: each change its finding, and none where nothing changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from _records import bert

from pytest_htp.compare.engine import compare_exports

Target = dict[str, Any]


def target(**changes: Any) -> Target:
    layers = "encoder.layer.{0..3}"
    return {
        "name": "qnn",
        "options": {"htp_arch": "75", "soc_model": "60"},
        "compiled": True,
        "device": "QNN",
        "partitions": 1,
        "share": 100.0,
        "placement": [
            {"path": f"{layers}.output.LayerNorm", "devices": {"QNN": 2}},
            {"path": f"{layers}.output.dense", "devices": {"CPU": 1, "QNN": 3}},
        ],
        **changes,
    }


def found(before: Target | None, after: Target | None) -> list[tuple[Any, ...]]:
    records = []
    for described in (before, after):
        record = copy.deepcopy(bert())
        if described is not None:
            record["targets"] = [described]
        records.append(record)
    findings = compare_exports(*records).findings
    return [(f.code, f.verdict, f.module, f.stage, f.message) for f in findings]


@pytest.mark.parametrize(
    ("before", "after"),
    [(target(), target()), (None, target()), (target(compiled=False), target(compiled=False))],
)
def test_nothing_is_said_of_what_is_alike_or_new(before: Target | None, after: Target | None) -> None:
    assert found(before, after) == []


def test_a_fallback_in_every_layer_is_one_finding() -> None:
    layers = "encoder.layer.{0..3}"
    moved = target(
        placement=[
            {"path": f"{layers}.output.LayerNorm", "devices": {"CPU": 2}},
            {"path": f"{layers}.output.dense", "devices": {"CPU": 1, "QNN": 3}},
        ],
        partitions=5,
    )
    assert found(target(), moved) == [
        ("placement.moved", "regression", f"{layers}.output.LayerNorm", "qnn", "nodes on CPU 0 -> 2, QNN 2 -> 0"),
        ("placement.split", "regression", None, "qnn", "1 -> 5 partitions"),
    ]
    assert found(moved, target()) == [
        ("placement.gained", "improvement", f"{layers}.output.LayerNorm", "qnn", "nodes on CPU 2 -> 0, QNN 0 -> 2"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ({"CPU": 2, "QNN": 1}, {"CPU": 1, "QNN": 2}, "placement.gained"),
        ({"CPU": 1}, {"QNN": 1}, "placement.gained"),
        ({"CPU": 2, "QNN": 1}, {"CPU": 1, "QNN": 1}, None),  # one less altogether
        ({"CPU": 1, "QNN": 1}, {"CPU": 1, "QNN": 2}, None),
        ({"CPU": 1, "QNN": 1}, {"CPU": 2, "QNN": 1}, "placement.moved"),
        ({"QNN": 1}, {"QNN": 1, "GPU": 1}, "placement.moved"),
    ],
)
def test_nodes_go_to_the_target_and_come_from_it(
    before: dict[str, int], after: dict[str, int], code: str | None
) -> None:
    one, other = (target(placement=[{"path": "pooler", "devices": devices}]) for devices in (before, after))
    assert [(entry[0], entry[2]) for entry in found(one, other)] == ([] if code is None else [(code, "pooler")])
    one, other = (target(unplaced=devices) for devices in (before, after))
    assert [(entry[0], entry[2]) for entry in found(one, other)] == (
        [(code, None)] if code == "placement.moved" else []
    )


@pytest.mark.parametrize(("pieces", "code"), [(2, None), (3, "placement.split"), (1, None)])
def test_more_pieces_than_before_are_a_split(pieces: int, code: str | None) -> None:
    expected = [] if code is None else [(code, f"2 -> {pieces} partitions")]
    assert [(entry[0], entry[4]) for entry in found(target(partitions=2), target(partitions=pieces))] == expected
    records = [{**bert(), "targets": [target(partitions=number)]} for number in (2, pieces)]
    assert [(f.before, f.after) for f in compare_exports(*records).findings] == ([(2, pieces)] if code else [])


def test_fewer_nodes_on_the_target_are_no_fallback() -> None:
    fewer = target(placement=[{"path": "encoder.layer.{0..3}.output.LayerNorm", "devices": {"QNN": 1}}])
    assert found(target(), fewer) == []


def test_a_new_module_on_a_fallback_device_is_told() -> None:
    rows = [*target()["placement"], {"path": "pooler.extra", "devices": {"CPU": 1}}]
    assert found(target(), target(placement=rows))[0][:3] == ("placement.moved", "regression", "pooler.extra")


def falls_back(**operators: int) -> Target:
    fallback = {"fallback": operators} if operators else {}
    return target(placement=[{"path": "pooler", "devices": {"CPU": 1, "QNN": 1}, **fallback}])


def test_another_operator_falls_back_now_though_as_many_nodes_do() -> None:
    (entry,) = found(falls_back(Gelu=1), falls_back(Erf=1))
    assert entry == ("placement.moved", "regression", "pooler", "qnn", "falls back now: 1 Erf")
    assert found(falls_back(Gelu=1), falls_back(Gelu=1)) == []
    assert found(falls_back(), falls_back(Erf=1)) == []  # a baseline that does not hold operators yet


def test_operators_that_fall_back_are_named() -> None:
    before = target(placement=[{"path": "pooler", "devices": {"QNN": 2}}])
    assert found(before, falls_back(Erf=1))[0][4] == "nodes on CPU 0 -> 1, QNN 2 -> 1; falls back now: 1 Erf"
    more = target(placement=[{"path": "pooler", "devices": {"CPU": 2, "QNN": 1}, "fallback": {"Erf": 1, "Gelu": 1}}])
    assert found(falls_back(Erf=1), more)[0][4] == "nodes on CPU 1 -> 2; falls back now: 1 Gelu"


def test_one_that_falls_back_now_is_told_though_others_no_longer_do() -> None:
    before = target(placement=[{"path": "pooler", "devices": {"CPU": 2, "QNN": 1}, "fallback": {"Erf": 2}}])
    assert found(before, falls_back(Gelu=1))[0][4] == "nodes on CPU 2 -> 1; falls back now: 1 Gelu"


def test_a_graph_that_no_longer_compiles_names_the_modules() -> None:
    failed = target(compiled=False, error="Code: 1002", failing=["encoder.layer.{0..3}.output.LayerNorm"], placement=[])
    expected = "no longer compiles for qnn: Code: 1002; this module alone does not compile"
    assert found(target(), failed) == [
        ("target.failed", "breaking", "encoder.layer.{0..3}.output.LayerNorm", "qnn", expected)
    ]
    assert found(None, failed)[0][4] == expected.replace("no longer compiles", "does not compile")
    assert found(failed, target()) == []


def test_changed_options_are_named() -> None:
    other = target(options={"htp_arch": "68", "soc_model": "60"}, partitions=2)
    assert found(target(), other)[0][4] == "1 -> 2 partitions (options: htp_arch 75 -> 68)"


def test_a_fallback_in_no_known_module_is_told() -> None:
    after = target(unplaced={"CPU": 2})
    assert found(target(), after)[0][:4] == ("placement.moved", "regression", None, "qnn")
    assert found(after, after) == []


def test_other_options_do_not_pass_in_silence_where_nothing_moved() -> None:
    after = target(options={"htp_arch": "79", "soc_model": "60"})
    assert [finding[0] for finding in found(target(), after)] == ["record.changed"]
    assert "target qnn (options)" in found(target(), after)[0][4]


def test_a_target_that_is_left_out_is_told() -> None:
    records = [{**copy.deepcopy(bert()), "targets": targets} for targets in ([target(), cpu()], [cpu()])]
    (finding,) = compare_exports(*records).findings
    assert (finding.code, finding.message) == ("record.changed", "targets no longer compiled for: qnn")


def test_all_targets_left_out_are_told() -> None:
    assert [entry[0] for entry in found(target(), None)] == ["record.changed"]


def cpu() -> Target:
    return target(name="cpu", options={}, device="CPU", placement=[])
