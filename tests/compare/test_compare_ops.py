"""ops.exploded and ops.changed: from how many nodes to how many it is which."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import add_ops, bert, changed, codes, edited, model_rows, record_of, row

ACTIVATION, CONTAINER, LINEAR = "encoder.layer.1.act", "encoder.layer.1", "encoder.layer.1.dense"


@pytest.mark.parametrize(
    ("module", "more", "code"),
    [
        (ACTIVATION, 2, "ops.changed"),  # 1 -> 3
        (ACTIVATION, 3, "ops.exploded"),
        (ACTIVATION, 29, "ops.exploded"),
        (CONTAINER, 1, "ops.changed"),  # 0 -> 1
        (CONTAINER, 2, "ops.changed"),
        (CONTAINER, 3, "ops.exploded"),
        (CONTAINER, 3000, "ops.exploded"),
        (LINEAR, 2, "ops.changed"),  # 2 -> 4: doubled, not more
        (LINEAR, 3, "ops.exploded"),
    ],
)
def test_a_module_explodes_when_its_nodes_more_than_double(module: str, more: int, code: str) -> None:
    after = changed(lambda rows: add_ops(rows[module], {"Sin": more}))
    (finding,) = compare_exports(bert(), after).findings
    assert (finding.code, finding.module) == (code, module)


def test_a_row_whose_count_of_nodes_alone_grew_is_no_silent_difference() -> None:
    def change(rows: dict[str, Any]) -> None:
        rows[LINEAR]["nodes"] = 31

    (finding,) = compare_exports(bert(), changed(change)).at_or_above("drift")
    assert (finding.code, finding.module, finding.message) == ("ops.exploded", LINEAR, "2 -> 31 nodes")


@pytest.mark.parametrize(
    ("before", "after", "found"), [(1, 3, True), (1, 2, False), (100, 200, False), (100, 201, True)]
)
def test_a_graph_of_more_than_twice_the_nodes_explodes(before: int, after: int, found: bool) -> None:
    def of(nodes: int) -> Any:
        return edited(lambda r: r["graph"].update(nodes=nodes))

    assert codes(of(before), of(after)) == (["ops.exploded"] if found else ["record.changed"])


@pytest.mark.parametrize(("nodes", "code"), [(3, "ops.changed"), (4, "ops.exploded")])
def test_a_graph_of_one_node_is_told_by_its_module(nodes: int, code: str) -> None:
    def of(count: int) -> Any:
        rows = [row("", "Net"), row("act", "Sine", {"Sin": count})]
        return edited(lambda r: r["weights"].update(tied=[]), record_of(rows))

    (finding,) = compare_exports(of(1), of(nodes)).findings
    assert (finding.code, finding.module) == (code, "act")


@pytest.mark.parametrize(("nodes", "code"), [(40, "ops.changed"), (41, "ops.exploded")])
def test_twice_is_not_yet_more_than_double(nodes: int, code: str) -> None:
    before, after = (changed(lambda rows, n=n: add_ops(rows[CONTAINER], {"Sin": n})) for n in (20, nodes))
    assert codes(before, after) == [code]


def test_a_graph_that_grew_by_new_modules_did_not_explode() -> None:
    assert codes(record_of(model_rows(1)), record_of(model_rows(12))) == ["weights.grown", "module.added"]


def test_other_operators_in_no_module_are_a_change_unless_axes_are() -> None:
    before, after = (record_of(model_rows(1), untagged={op: 3, "Mul": 1}) for op in ("Shape", "Size"))
    (finding,) = compare_exports(before, after).findings
    assert (finding.code, finding.module) == ("ops.changed", None)
    assert (finding.before, finding.after) == ({"Shape": 3, "Size": 0}, {"Shape": 0, "Size": 3})
    fixed = edited(lambda record: record["inputs"][0].update(dims=[2, "d1"]), after)
    assert codes(before, fixed) == ["io.dim_fixed"]


def test_a_change_between_exports_with_and_without_weights_says_so() -> None:
    after = changed(lambda rows: rows[LINEAR].update(fingerprint="other"))
    after["weights"]["kept"] = False
    (finding,) = compare_exports(bert(), after).at_or_above("drift")
    assert finding.message.endswith(
        "(the baseline had real weights, the other none: a bias of zeros or equal buffers may have been left out)"
    )
    assert "the current export had real weights" in compare_exports(after, bert()).at_or_above("drift")[0].message


def test_fingerprints_of_another_algorithm_are_not_compared() -> None:
    after = changed(lambda rows: rows[LINEAR].update(fingerprint="other"))
    assert [finding.code for finding in compare_exports(bert(), after).findings] == ["ops.changed"]
    stages = [{**record["stages"][0], "name": "fp16"} for record in ({"stages": [bert()]}, {"stages": [after]})]
    before, after = ({**bert(), "stages": [stages[0]]}, {**after, "stages": [stages[1]], "fingerprint_version": 2})
    (finding,) = compare_exports(before, after).findings
    assert (finding.code, finding.verdict) == ("toolchain.changed", "info")
    assert (finding.before, finding.after) == ({"fingerprints": "1"}, {"fingerprints": "2"})


def test_programs_in_other_words_are_not_compared_and_fingerprints_are() -> None:
    def record(words: str, **more: object) -> dict[str, Any]:
        made = changed(lambda rows: rows[LINEAR].update(program=[f"%1 = MatMul(in1, {words})"]))
        made["weights"]["tables"] = [{"name": "mask", "holds": f"FLOAT [2,2] {words}"}]
        return {**made, **more}

    before, after = record("parameter weight"), record("parameter weight by clone", program_version=2)
    assert "ops.changed" in codes(before, {**after, "program_version": 1})
    (finding,) = compare_exports(before, after).findings
    assert (finding.code, finding.verdict) == ("toolchain.changed", "info")
    assert finding.message == "descriptions of programs 1 -> 2"
    other = changed(lambda rows: rows[LINEAR].update(fingerprint="other"), after)
    found = compare_exports(before, {**other, "program_version": 2}).findings
    assert "ops.changed" in [each.code for each in found]
    assert compare_exports(bert(), {**bert(), "program_version": 2}).findings == (), "of edition 1, which has none"
