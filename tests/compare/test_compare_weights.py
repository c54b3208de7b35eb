"""weights.*: what counts as growth, a second copy and another type, and what is only a constant of the code."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_htp.compare import compare_exports
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


def test_parameters_of_another_type_are_told_though_no_module_shows_them() -> None:
    after = edited(lambda r: r["weights"]["parameters"].update(dtypes={"FLOAT16": 60}))
    (finding,) = compare_exports(bert(), after).findings
    assert (finding.code, finding.module) == ("weights.dtype", None)
