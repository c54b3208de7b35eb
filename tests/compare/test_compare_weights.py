"""weights.*: what counts as growth, a second copy and another type, and what is only a constant of the code."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import Record, add_ops, bert, changed, codes, edited, linear, record_of, row


def two_layers(constants: dict[str, int], ops: dict[str, int]) -> Record:
    """Two Linear(8, 8) of 576 bytes; the second layer's own code has a Relu and what is given."""
    rows = [row("", "Net"), row("layers.0", "Layer", {"Relu": 1}), linear("layers.0.l", 288)]
    rows += [row("layers.1", "Layer", {"Relu": 1, **ops}, weights=constants), linear("layers.1.l", 288)]
    return edited(lambda r: r["weights"].update(tied=[]), record_of(rows))


MUL_ADD = {"Mul": 1, "Add": 1}


@pytest.mark.parametrize(
    ("constants", "ops", "found"),
    [
        ({"FLOAT": 8}, MUL_ADD, ["ops.changed"]),  # y * 1.5 + 0.1
        ({"FLOAT": 8, "INT64": 56}, MUL_ADD, ["ops.changed"]),
        ({"FLOAT": 64}, MUL_ADD, ["ops.changed"]),  # 16 elements
        ({"FLOAT": 68}, MUL_ADD, ["weights.grown", "ops.changed"]),
        ({"FLOAT": 8}, {}, ["weights.grown"]),  # no operator asked for them
    ],
)
def test_a_few_constants_of_new_operators_are_no_growth(
    constants: dict[str, int], ops: dict[str, int], found: list[str]
) -> None:
    assert codes(two_layers({}, {}), two_layers(constants, ops)) == found


WAS = ["%1 = Add(in0, FLOAT 0.5)", "%2 = Relu(%1)"]


@pytest.mark.parametrize(
    ("constants", "now", "parameters", "found"),
    [
        # One more constant for other code.
        ({"INT64": 8}, ["%1 = Add(in0, FLOAT 0.25)", "%2 = Relu(%1)"], 576, ["ops.changed"]),
        ({"FLOAT": 64}, ["%1 = Add(in0, FLOAT 0.25)", "%2 = Relu(%1)"], 576, ["ops.changed"]),
        ({"FLOAT": 68}, ["%1 = Add(in0, FLOAT 0.25)", "%2 = Relu(%1)"], 576, ["weights.grown", "ops.changed"]),
        ({"FLOAT": 68}, ["%1 = Add(in0, FLOAT 0.5)", "%2 = Relu(in0)"], 576, ["weights.grown", "ops.changed"]),
        # A result that is stored now.
        ({"FLOAT": 68}, ["%1 = Add(FLOAT[17] ~0/1/0.3, FLOAT 0.5)", "%2 = Relu(%1)"], 576, ["weights.grown"]),
        # What follows a larger parameter.
        ({"FLOAT": 8}, ["%1 = Add(in0, FLOAT 0.25)", "%2 = Relu(%1)"], 584, ["weights.grown"]),
        ({"FLOAT": 68}, WAS, 576, ["weights.grown"]),
    ],
)
def test_growth_hides_no_other_code(
    constants: dict[str, int], now: list[str], parameters: int, found: list[str]
) -> None:
    def of(program: list[str], constants: dict[str, int], size: int) -> Record:
        stored = {"count": 4, "bytes": size, "dtypes": {"FLOAT": 4}}
        layer = row("layer", "Layer", {"Add": 1, "Relu": 1}, weights=constants, program=program)
        record = record_of([row("", "Net", program=["call layer(input x)"]), layer, linear("l", 576)])
        return edited(lambda r: r["weights"].update(tied=[], parameters=stored), record)

    assert codes(of(WAS, {}, 576), of(now, constants, parameters)) == found


@pytest.mark.parametrize(("before", "after", "found"), [(1000, 1010, False), (1000, 1011, True), (576, 584, True)])
def test_initializers_alone_grow_beyond_one_percent(before: int, after: int, found: bool) -> None:
    def of(size: int, kept: bool = True) -> Record:
        return edited(lambda r: r["weights"].update(kept=kept, initializers={"count": 60, "bytes": size, "dtypes": {}}))

    assert codes(of(before), of(after)) == ["weights.grown" if found else "record.changed"]
    assert codes(of(before), of(after, kept=False)) == ["weights.grown" if found else "record.changed"]


def test_a_retyped_module_with_new_operators_hides_no_growth_of_another() -> None:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["pooler"], {"Mul": 1})
        rows["pooler"]["weights"] = {"FLOAT": 4}
        rows["head"]["weights"] = {"FLOAT": 1_000_000}

    (grown, _) = compare_exports(bert(), changed(change)).findings
    assert (grown.code, grown.module) == ("weights.grown", "head")


def stored(*groups: dict[str, Any]) -> Record:
    return edited(lambda r: r["weights"].update(duplicates=copy.deepcopy(list(groups))))


def test_copies_that_the_exporter_made_have_no_names_and_count() -> None:
    def copies(count: int) -> Record:
        return stored({"names": [], "bytes": 4096, "copies": count})

    (finding,) = compare_exports(bert(), copies(2)).findings
    assert (finding.code, finding.module, finding.before) == ("weights.duplicated", None, None)
    (finding,) = compare_exports(copies(2), copies(3)).findings
    assert finding.code == "weights.duplicated"
    assert finding.before == {"names": [], "bytes": 4096, "copies": 2}
    assert finding.after == {"names": [], "bytes": 4096, "copies": 3}
    assert not compare_exports(copies(3), copies(2)).at_or_above("drift")


def test_what_is_stored_once_is_no_duplicate() -> None:
    assert codes(stored(), stored({"names": ["a.weight"], "bytes": 4096, "copies": 1})) == ["record.changed"]


def test_nameless_copies_are_matched_by_size_the_most_copied_first() -> None:
    many, few = ({"names": [], "bytes": 4096, "copies": count} for count in (3, 2))
    other = {"names": [], "bytes": 8192, "copies": 2}
    assert codes(stored(many, few), stored(few, many)) == ["record.changed"]
    (finding,) = compare_exports(stored(many, few), stored(many, few, other)).findings
    assert finding.after == other
    (finding,) = compare_exports(stored(few), stored(few, many)).findings
    assert (finding.before, finding.after) == (None, many)


def test_one_copy_more_says_what_was_before() -> None:
    two, three = (
        {"names": [f"{name}.w" for name in names], "bytes": 4096, "copies": len(names)} for names in ("ab", "abc")
    )
    (finding,) = compare_exports(stored(two), stored(three)).findings
    assert (finding.code, finding.module, finding.before, finding.after) == ("weights.duplicated", "c", two, three)
    assert "3 times (2 before)" in finding.message


def test_duplicates_of_a_renamed_module_are_the_same() -> None:
    def named(name: str) -> Record:
        def change(rows: dict[str, Any]) -> None:
            rows[name] = {**rows.pop("head"), "path": name}

        after = changed(change)
        after["weights"]["duplicates"] = [{"names": [f"{name}.bias", f"{name}.weight"], "bytes": 4096, "copies": 2}]
        after["weights"]["tied"] = []
        return after

    assert codes(named("head"), named("lm_head")) == ["module.added"]


def in_half(rows: dict[str, Any], *paths: str) -> None:
    for path in paths:
        item = rows[path]
        item["weights"] = {"FLOAT16": item["weights"]["FLOAT"] // 2}
        item["dtypes"] = {"FLOAT16": item["nodes"]}


@pytest.mark.parametrize(("elements", "moved"), [(255, False), (256, True), (4096, True), (4097, False)])
def test_a_tensor_of_another_type_keeps_its_elements_within_a_factor_of_four(elements: int, moved: bool) -> None:
    after = changed(lambda rows: rows["pooler.dense"].update(weights={"INT8": elements}))  # from 1,024 of FLOAT
    assert ("weights.dtype" in codes(bert(), after)) is moved


def test_a_constant_of_the_code_is_no_parameter_of_another_type() -> None:
    def constant(rows: dict[str, Any]) -> None:
        rows["pooler"]["weights"] = {"FLOAT": 4}

    base = changed(constant)
    after = changed(lambda rows: in_half(rows, "pooler", "pooler.dense"), base)
    (finding,) = compare_exports(base, after).at_or_above("drift")
    assert (finding.code, finding.module) == ("weights.dtype", "pooler.dense")
    alone = changed(lambda rows: in_half(rows, "pooler"), base)
    (finding,) = compare_exports(base, alone).at_or_above("drift")
    assert (finding.code, finding.module) == ("weights.dtype", "pooler")


@pytest.mark.parametrize(("casts", "converts"), [((0, 1), True), ((1, 0), False), ((1, 1), False)])
def test_a_module_that_converts_its_input_stores_its_parameters_converted(
    casts: tuple[int, int], converts: bool
) -> None:
    """The model's own are what they were: the exporter stored them so."""
    before, after = (
        changed(lambda rows, count=count: add_ops(rows["pooler.dense"], {"Cast": count}) if count else None)
        for count in casts
    )
    stored_in_half = changed(lambda rows: in_half(rows, "pooler.dense"), after)
    stored_in_half["weights"]["parameters"] = before["weights"]["parameters"]
    found = compare_exports(before, stored_in_half).at_or_above("drift")
    assert [(each.code, each.module) for each in found] == [
        ("dtype.internal" if converts else "weights.dtype", "pooler.dense")
    ]


def test_parameters_of_another_type_are_told_though_no_module_shows_them() -> None:
    after = edited(lambda r: r["weights"]["parameters"].update(dtypes={"FLOAT16": 60}))
    (finding,) = compare_exports(bert(), after).findings
    assert (finding.code, finding.module) == ("weights.dtype", None)


def test_what_is_said_of_a_copy() -> None:
    def of(before: Record, after: Record) -> list[tuple[str, str | None, Any, Any]]:
        findings = compare_exports(before, after).findings
        return [(each.message, each.module, each.before, each.after) for each in findings]

    pair = {"names": ["pooler.dense.weight", "pooler.dense.copy"], "bytes": 4096, "copies": 2}
    more = {"names": [*pair["names"], "head.weight"], "bytes": 4096, "copies": 3}
    nameless = {"names": [], "bytes": 4096, "copies": 2}
    assert of(stored(), stored(pair)) == [("4.1 kB stored 2 times: copy, weight", "pooler.dense", None, pair)]
    assert of(stored(pair), stored(more)) == [
        ("4.1 kB stored 3 times (2 before): head.weight, pooler.dense.copy, pooler.dense.weight", "head", pair, more)
    ]
    assert of(stored(), stored(nameless)) == [
        ("4.1 kB stored 2 times: copies that the exporter made", None, None, nameless)
    ]
    assert of(stored(more), stored(pair)) == [("differs without a finding: weights.duplicates", None, None, None)]
    grown = changed(lambda rows: rows["pooler.dense"].update(weights={"FLOAT": 8192}))
    grown["weights"]["duplicates"] = [{"names": ["pooler.dense.a", "head.b"], "bytes": 4096, "copies": 2}]
    assert of(bert(), grown)[0][1] == "pooler.dense"  # of both owners the one that stores more
    five = [f"m{number}.weight" for number in range(5)]
    five = ["a.weight", "b.weight", "c.weight", "d.weight", "e.weight"]
    (said, *_) = of(stored(), stored({"names": five, "bytes": 4096, "copies": 5}))
    assert said[0] == "4.1 kB stored 5 times: a.weight, b.weight, c.weight, d.weight"


@pytest.mark.parametrize(
    ("sizes", "module", "where"),
    [
        ({"pooler.dense": 90_000}, "pooler.dense", "in pooler.dense"),
        ({"pooler.dense": 90_000, "head": 80_000}, "pooler.dense", "in head, pooler.dense"),
        ({"pooler.dense": 90_000, "head": 90_000}, "head", "in head, pooler.dense"),
        ({f"encoder.layer.{number}.dense": 90_000 for number in range(12)}, "encoder.layer.{0..11}.dense",
         "in encoder.layer.{0..11}.dense"),
        ({"pooler.dense": 90_000, "head": 80_000, "encoder.layer.1.dense": 70_000, "encoder.layer.3.dense": 60_000},
         "pooler.dense", "in encoder.layer.{1,3}.dense, head, pooler.dense"),
        ({"": 50_000, "pooler.dense": 90_000, "head": 80_000, "encoder.layer.1.dense": 70_000}, "pooler.dense",
         "in the root, encoder.layer.1.dense, head and 1 more"),
    ],
)  # fmt: skip
def test_growth_is_said_of_the_module_that_grew_most(sizes: dict[str, int], module: str, where: str) -> None:
    def change(rows: dict[str, Any]) -> None:
        for path, size in sizes.items():
            rows[path]["weights"] = {"FLOAT": size}

    (finding,) = compare_exports(bert(), changed(change)).findings
    assert (finding.code, finding.module) == ("weights.grown", module)
    before, after = (record["weights"]["initializers"]["bytes"] for record in (bert(), changed(change)))
    assert (finding.before, finding.after) == (before, after)
    assert finding.message.endswith(f"(+{100 * (after - before) / before:.1f}%), {where}")


@pytest.mark.parametrize(
    ("tied", "apart", "untied"),
    [
        ([["a.weight", "head.weight"]], [], False),
        ([], [], True),
        ([["a.weight", "head.weight"]], [["a.weight", "head.weight"]], True),  # shared by the model, stored twice
        ([["a.weight", "head.weight", "b.weight"]], [], False),
    ],
)
def test_parameters_are_tied_as_long_as_the_graph_stores_them_once(
    tied: list[list[str]], apart: list[list[str]], untied: bool
) -> None:
    before = edited(lambda r: r["weights"].update(tied=[["a.weight", "head.weight"]]))
    after = edited(lambda r: r["weights"].update(tied=tied, tied_apart=apart))
    found = [finding for finding in compare_exports(before, after).findings if finding.code == "weights.untied"]
    assert [finding.message for finding in found] == (
        ["a.weight and head.weight are no longer one shared tensor"] if untied else []
    )
    if untied:
        assert (found[0].module, found[0].before) == ("head", ["a.weight", "head.weight"])
    # what the baseline stored twice already, the model must still share
    twice = edited(lambda r: r["weights"].update(tied_apart=[["a.weight", "head.weight"]]), before)
    lost = [finding.code for finding in compare_exports(twice, after).findings if finding.code == "weights.untied"]
    assert lost == (["weights.untied"] if not tied else [])


@pytest.mark.parametrize(("kept", "found"), [(True, ["weights.grown", "weights.untied"]), (False, ["weights.untied"])])
def test_without_weights_a_second_copy_has_no_size(kept: bool, found: list[str]) -> None:
    def untied(record: Record) -> None:
        record["weights"] |= {"kept": kept, "tied": []}
        record["weights"]["initializers"]["bytes"] += 1_000_000

    base = edited(lambda record: record["weights"].update(kept=kept))
    assert codes(base, edited(untied, base)) == found


def test_four_of_the_names_that_were_one_tensor_are_shown() -> None:
    names = [f"{letter}.weight" for letter in "abcde"]
    base = edited(lambda record: record["weights"].update(tied=[names]))
    untied = edited(lambda record: record["weights"].update(tied=[]))
    (finding,) = compare_exports(base, untied).findings
    assert finding.message == "a.weight and b.weight and c.weight and d.weight are no longer one shared tensor"
