"""Rules of stages, targets, quality, cost and generated tokens, each with what triggers it and what must not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import add_ops, bert, changed, edited

Record = dict[str, Any]
QUERY = "encoder.layer.1.attention.self.query"


def found(before: Record, after: Record, **options: Any) -> list[tuple[str, str | None, str | None]]:
    findings = compare_exports(before, after, **options).findings
    return [(finding.code, finding.module, finding.stage) for finding in findings]


def staged(record: Record, name: str = "int8:dynamic", *, of: Record | None = None, **more: Any) -> Record:
    """``record`` with one stage, which is ``of`` (or the export itself) described."""
    graph = {key: copy.deepcopy(value) for key, value in (of or record).items()}
    for key in ("schema", "model", "toolchain"):
        graph.pop(key)
    return {**copy.deepcopy(record), "stages": [{**graph, "name": name, **more}]}


def quantized(paths: tuple[str, ...] = ()) -> Record:
    """Every Linear computes with integers but those named."""

    def change(rows: dict[str, Any]) -> None:
        for path, row in rows.items():
            if row["class"] == "Linear" and path not in paths:
                add_ops(row, {"MatMul": -1, "MatMulInteger": 1, "DynamicQuantizeLinear": 1, "Cast": 1, "Mul": 2})
                row["weights"] = {"INT8": row["weights"]["FLOAT"] // 4}

    return changed(change)


def test_equal_stages_are_silent() -> None:
    record = staged(bert(), of=quantized())
    assert found(record, copy.deepcopy(record)) == []


def test_a_module_that_runs_in_float_again_has_lost_its_quantization_and_nothing_else_is_said() -> None:
    before, after = staged(bert(), of=quantized()), staged(bert(), of=quantized((QUERY,)))
    assert found(before, after) == [("quantization.lost", QUERY, "int8:dynamic")]
    assert found(after, before) == [("quantization.gained", QUERY, "int8:dynamic")]
    (finding,) = compare_exports(before, after).findings
    assert "MatMulInteger 1 -> 0" in finding.message
    assert finding.verdict == "regression"


def test_a_fusion_lost_in_a_stage_alone_is_said_of_the_stage() -> None:
    def lose(rows: dict[str, Any]) -> None:
        add_ops(rows["encoder.layer.1.attention.self"], {"Attention": -1, "MatMul": 2, "Softmax": 1})

    before, after = staged(bert(), "ort:extended"), staged(bert(), "ort:extended", of=changed(lose))
    assert found(before, after) == [("fusion.lost", "encoder.layer.1.attention.self", "ort:extended")]


@pytest.mark.parametrize(("ops", "lost"), [({}, True), ({"LayerNormalization": -1, "Relu": 1}, False)])
def test_a_norm_of_another_class_that_is_no_longer_fused_has_lost_its_fusion(ops: dict[str, int], lost: bool) -> None:
    """Replaced by another operator it lost none: that is what the class is about."""
    norm = "encoder.layer.1.attention.output.LayerNorm"

    def fuse(rows: dict[str, Any]) -> None:
        add_ops(rows[norm], {"LayerNormalization": -1, "com.microsoft::SkipLayerNormalization": 1})

    def another(rows: dict[str, Any]) -> None:
        rows[norm]["class"] = "Exact"

    def apart(rows: dict[str, Any]) -> None:
        another(rows)
        add_ops(rows[norm], ops)

    before = staged(bert(), "ort:extended", of=changed(fuse))
    after = staged(changed(another), "ort:extended", of=changed(apart))
    assert (("fusion.lost", norm, "ort:extended") in found(before, after)) is lost


def test_what_is_already_in_the_export_is_not_repeated() -> None:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["encoder.layer.1"], {"Mul": 1, "Add": 1})

    after = changed(change)
    assert found(staged(bert()), staged(after)) == [("ops.changed", "encoder.layer.1", None)]


def test_a_stage_that_does_more_than_follow_says_so() -> None:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["encoder.layer.1"], {"Mul": 1, "Add": 1})

    def more(rows: dict[str, Any]) -> None:
        change(rows)
        add_ops(rows["encoder.layer.1.act"], {"Gelu": -1, "Erf": 1, "Mul": 2})

    after = changed(change)
    assert found(staged(bert()), staged(after, of=changed(more))) == [
        ("fusion.lost", "encoder.layer.1.act", "int8:dynamic"),
        ("ops.changed", "encoder.layer.1", None),
    ]


def test_a_stage_of_one_side_alone_is_no_fault_of_the_graph() -> None:
    assert found(bert(), staged(bert())) == []
    assert [code for code, _, _ in found(staged(bert(), "a"), staged(bert(), "b"))] == ["record.changed"]


def quality(values: dict[str, int | None], outputs: dict[str, int]) -> Record:
    return {
        "measured": True,
        "modules": [{"path": path, "sqnr": value} for path, value in values.items()],
        "outputs": [{"name": name, "sqnr": value} for name, value in outputs.items()],
    }


GOOD = quality({"embeddings.word": 60, "encoder.layer.{0..11}.dense": 42, "encoder": 39}, {"pooler_output": 36})


def programmed() -> Record:
    """``bert()`` whose encoder says that it calls its layers from the last to the first."""

    def change(rows: dict[str, Any]) -> None:
        rows[""]["program"] = ["call embeddings(in0)", "call encoder(embeddings:Add)"]
        rows["encoder"]["program"] = [f"call layer.{number}(in0)" for number in reversed(range(12))]
        for number in range(12):
            rows[f"encoder.layer.{number}"]["program"] = ["call dense(in0)"]

    return changed(change)


def test_worse_quality_names_the_module_where_it_begins() -> None:
    worse = quality({"embeddings.word": 60, "encoder.layer.{0..11}.dense": 24, "encoder": 21}, {"pooler_output": 18})
    before, after = staged(programmed(), quality=GOOD), staged(programmed(), quality=worse)
    assert found(before, after) == [("quality.worse", "encoder.layer.11.dense", "int8:dynamic")]
    message = compare_exports(before, after).findings[0].message
    assert message.startswith("SQNR 42 -> 24 dB, begins in this module; 12 more modules with it; output pooler_output")
    assert found(after, before) == [("quality.better", "encoder.layer.11.dense", "int8:dynamic")]


def entering(rows: dict[str, tuple[int | None, int | None]]) -> Record:
    """Path → SQNR of what a module returned, and the worst of what it took."""
    modules: list[Record] = []
    for path, (number, taken) in rows.items():
        reason = {"reason": "not finite"} if number is None else {}
        modules.append({"path": path, "sqnr": number, "entering": taken, **reason})
    return {"measured": True, "modules": modules, "outputs": []}


LAYER = "encoder.layer.11"
WELL = entering({"encoder": (39, 60), LAYER: (42, 60), f"{LAYER}.dense": (42, 45), f"{LAYER}.act": (42, 42)})


@pytest.mark.parametrize(
    ("rows", "begins"),
    [
        # its own operators, before what it calls: that only hands on what it is given
        ({"encoder": (20, 60), LAYER: (21, 60), f"{LAYER}.dense": (21, 21), f"{LAYER}.act": (21, 21)}, LAYER),
        # a module inside that lost no more than the tolerance, and what is made of it lost more
        (
            {"encoder": (20, 60), LAYER: (21, 60), f"{LAYER}.dense": (36, 45), f"{LAYER}.act": (42, 42)},
            f"{LAYER}.dense",
        ),
        # the same, one after the other
        (
            {"encoder": (39, 60), LAYER: (42, 60), f"{LAYER}.dense": (36, 45), f"{LAYER}.act": (30, 36)},
            f"{LAYER}.dense",
        ),
        # what the model itself is given is worse: the first that takes it
        (
            {"encoder": (21, 30), LAYER: (21, 30), f"{LAYER}.dense": (21, 30), f"{LAYER}.act": (21, 21)},
            f"{LAYER}.dense",
        ),
        # not a number
        (
            {"encoder": (39, 60), LAYER: (42, 60), f"{LAYER}.dense": (None, 45), f"{LAYER}.act": (42, 42)},
            f"{LAYER}.dense",
        ),
    ],
)
def test_a_loss_that_inputs_explain_began_before(rows: dict[str, tuple[int | None, int | None]], begins: str) -> None:
    before, after = staged(programmed(), quality=WELL), staged(programmed(), quality=entering(rows))
    assert found(before, after) == [("quality.worse", begins, "int8:dynamic")]


@pytest.mark.parametrize(("tolerance", "least"), [(6, 3), (12, 6), (4, 3), (2, 2)])
def test_a_beginning_is_looked_for_among_moves_of_half_the_tolerance(tolerance: int, least: int) -> None:
    """At least a step of what is stored, at most the tolerance itself."""
    for move, begins in ((least, "act"), (least + 1, "dense")):
        rows = {
            "encoder": (39, 60),
            LAYER: (42, 60),
            f"{LAYER}.dense": (42 - move, 45),
            f"{LAYER}.act": (20, 42 - move),
        }
        before, after = staged(programmed(), quality=WELL), staged(programmed(), quality=entering(rows))
        (finding,) = compare_exports(before, after, quality_tolerance=tolerance).findings
        assert finding.module == f"{LAYER}.{begins}", (tolerance, move)


def test_what_is_no_longer_finite_is_said() -> None:
    rows = entering({f"{LAYER}.dense": (None, 45)})
    finding = compare_exports(staged(bert(), quality=WELL), staged(bert(), quality=rows)).findings[0]
    assert finding.message == "SQNR 42 dB -> not finite, begins in this module"
    assert (finding["before"], finding["after"]) == ({f"{LAYER}.dense": 42}, {f"{LAYER}.dense": None})


@pytest.mark.parametrize(("tolerance", "codes"), [(6, []), (5, ["quality.worse"])])
def test_quality_within_the_tolerance_is_silent(tolerance: float, codes: list[str]) -> None:
    slightly = quality({"embeddings.word": 54}, {"pooler_output": 30})
    before, after = staged(bert(), quality=GOOD), staged(bert(), quality=slightly)
    assert [code for code, _, _ in found(before, after, quality_tolerance=tolerance)] == codes


@pytest.mark.parametrize(("number", "codes"), [(54, []), (53, ["quality.worse"])])
def test_six_decibels_are_tolerated_unless_asked_otherwise(number: int, codes: list[str]) -> None:
    after = staged(bert(), quality=quality({"embeddings.word": number}, {}))
    assert [code for code, _, _ in found(staged(bert(), quality=GOOD), after)] == codes


def of_few(number: int, peak: float | None, values: int | None = 4) -> Record:
    """Quality of a head and the output it makes, which has so many values."""
    few = {} if values is None else {"values": values}
    output = {
        "name": "pooler_output",
        "sqnr": number,
        **few,
        **({} if peak is None else {"extremes": [-peak / 2, peak]}),
    }
    return {"measured": True, "modules": [{"path": "pooler", "sqnr": number, **few}], "outputs": [output]}


def codes_of_few(before: Record, after: Record) -> list[str]:
    one, other = staged(bert(), quality=before), staged(bert(), quality=after)
    codes = [code for code, _, _ in found(one, other)]
    back = [code for code, _, _ in found(other, one)]
    assert back == [code.replace("worse", "better") for code in codes]
    return codes


# Three standard deviations of the logarithm of F(n, n) times F(n, n), and a step: 36.4, 23.9, 15.3 and 6.0 dB.
@pytest.mark.parametrize(("values", "most"), [(2, 36), (4, 23), (10, 15), (151, 6), (None, 6)])
def test_what_few_values_do_by_chance_with_other_weights_says_nothing(values: int | None, most: int) -> None:
    for fall, codes in ((most, []), (most + 1, ["quality.worse"])):
        assert codes_of_few(of_few(60, 1.0, values), of_few(60 - fall, 1.1, values)) == codes
        same = codes_of_few(of_few(60, 1.0, values), of_few(60 - fall, 1.0, values))
        assert same == ([] if fall <= 6 else ["quality.worse"])


def test_an_output_of_few_values_of_which_no_number_is_left_is_said_with_other_weights_too() -> None:
    gone = {**of_few(60, 1.1), "modules": [{"path": "pooler", "sqnr": None, "reason": "not finite"}]}
    assert [code for code, _, _ in found(staged(bert(), quality=of_few(60, 1.0)), staged(bert(), quality=gone))] == [
        "quality.worse"
    ]


@pytest.mark.parametrize(
    ("before", "after", "codes"),
    [
        (1.0, 1.0009, ["quality.worse"]), (1.0, 1.002, []), (0.0, 0.0, ["quality.worse"]),
        (None, 1.0, ["quality.worse"]), (1.0, None, ["quality.worse"]),
    ],
)  # fmt: skip
def test_weights_are_others_where_pytorch_gave_other_extremes(
    before: float | None, after: float | None, codes: list[str]
) -> None:
    assert codes_of_few(of_few(60, before), of_few(45, after)) == codes


def test_one_extreme_may_be_the_same_by_chance() -> None:
    before, after = of_few(60, 1.0), of_few(45, 1.0)
    after["outputs"][0]["extremes"] = [-0.4, 1.0]
    assert codes_of_few(before, after) == []


def test_a_number_moved_by_chance_is_no_beginning_of_another_loss() -> None:
    def measured(gate: int, dense: int, peak: float) -> Record:
        rows = [{"path": f"{LAYER}.dense", "sqnr": gate, "values": 4}, {"path": f"{LAYER}.act", "sqnr": dense}]
        output = {"name": "pooler_output", "sqnr": 60, "extremes": [0, peak]}
        return {"measured": True, "modules": rows, "outputs": [output]}

    before = staged(programmed(), quality=measured(60, 60, 1.0))
    assert found(before, staged(programmed(), quality=measured(45, 40, 1.0)))[0][1] == f"{LAYER}.dense"
    assert found(before, staged(programmed(), quality=measured(45, 40, 2.0)))[0][1] == f"{LAYER}.act"


def test_quality_that_was_not_measured_or_is_undefined_says_nothing() -> None:
    undefined = quality({"embeddings.word": None}, {})
    for other in ({"measured": False, "reason": "no parity"}, undefined):
        assert found(staged(bert(), quality=GOOD), staged(bert(), quality=other)) == []


def target(**values: Any) -> Record:
    placement = [{"path": "pooler", "devices": {"qnn": 2}}, {"path": "head", "devices": {"qnn": 1, "CPU": 1}}]
    base = {"name": "qnn", "options": {}, "compiled": True, "device": "qnn", "partitions": 1, "placement": placement}
    return {**bert(), "targets": [{**base, **values}]}


TARGETS: dict[str, tuple[Record, list[tuple[str, str | None, str | None]]]] = {
    "equal": (target(), []),
    "fallback": (
        target(placement=[{"path": "pooler", "devices": {"qnn": 1, "CPU": 1}}]),
        [("placement.moved", "pooler", "qnn")],
    ),
    "back on the target": (
        target(placement=[{"path": "head", "devices": {"qnn": 2}}]),
        [("placement.gained", "head", "qnn")],
    ),
    "more nodes, all on the target": (target(placement=[{"path": "pooler", "devices": {"qnn": 5}}]), []),
    "more pieces": (target(partitions=3), [("placement.split", None, "qnn")]),
    "fewer pieces": (target(partitions=1), []),
    "no longer compiles": (
        target(compiled=False, error="Failed to finalize QNN graph", failing=["pooler"], partitions=None),
        [("target.failed", "pooler", "qnn")],
    ),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets(case: str) -> None:
    after, expected = TARGETS[case]
    assert found(target(), after) == expected


def test_the_compilers_own_words_are_kept() -> None:
    after = target(compiled=False, error="Failed to finalize QNN graph", partitions=None)
    (finding,) = compare_exports(target(), after).findings
    assert finding.message == "no longer compiles for qnn: Failed to finalize QNN graph"
    assert found(after, after) == []


@pytest.mark.parametrize(
    ("equal", "count", "codes"), [(8, 8, []), (5, 8, ["tokens.differ"]), (4, 4, []), (3, 4, ["tokens.differ"])]
)
def test_tokens(equal: int, count: int, codes: list[str]) -> None:
    before = {**bert(), "tokens": {"count": 8, "equal": 8}}
    assert [code for code, _, _ in found(before, {**bert(), "tokens": {"count": count, "equal": equal}})] == codes


def with_flops(factor: float, at: str = "encoder.layer.1.dense") -> Record:
    def count(rows: dict[str, Any]) -> None:
        for path, row in rows.items():
            row["flops"] = int(1_000_000 * factor) if path in (at, "encoder.layer.1", "encoder", "") else 1_000_000

    return changed(count)


@pytest.mark.parametrize(("factor", "code"), [(1.0, None), (1.005, None), (2.0, "flops.grown"), (0.5, "flops.shrunk")])
def test_flops_are_named_at_the_innermost_module(factor: float, code: str | None) -> None:
    expected = [] if code is None else [(code, "encoder.layer.1.dense", None)]
    assert found(with_flops(1.0), with_flops(factor)) == expected


def test_another_size_of_an_input_is_no_growth() -> None:
    def longer(record: Record) -> None:
        record["inputs"][0]["dims"] = ["d0", 7]

    codes: Callable[[Record], list[str]] = lambda after: [code for code, _, _ in found(with_flops(1.0), after)]  # noqa: E731
    assert codes(edited(longer, with_flops(2.0))) == ["io.dim_fixed"]


QUANTIZED = ["%1 = DequantizeLinear(parameter weight, FLOAT of rank 0)", "%2 = MatMul(in0, %1)"]
HANDED_ON = ["%1 = DequantizeLinear(parameter weight, FLOAT of rank 0)", "%2 = Transpose(%1)", "%3 = MatMul(in0, %2)"]
LEFT = ["%1 = MatMul(in0, parameter weight)"]
LEFT_BEHIND = ["%1 = DequantizeLinear(in0, FLOAT of rank 0)", "%2 = MatMul(%1, parameter weight)"]
BIAS_ALONE = ["%1 = DequantizeLinear(parameter bias, FLOAT of rank 0)", "%2 = Gemm(in0, parameter weight, %1)"]


@pytest.mark.parametrize("old", [QUANTIZED, HANDED_ON])
@pytest.mark.parametrize(
    ("new", "code"),
    [
        (QUANTIZED, None), (HANDED_ON, None), (LEFT, "quantization.lost"), (LEFT_BEHIND, "quantization.lost"),
        (BIAS_ALONE, "quantization.lost"),
    ],
)  # fmt: skip
def test_an_operator_whose_weight_is_no_longer_quantized_runs_in_float(
    old: list[str], new: list[str], code: str | None
) -> None:
    def of(program: list[str]) -> Record:
        def change(rows: dict[str, Any]) -> None:
            ops = [line.split(" = ")[1].partition("(")[0] for line in program]
            rows[QUERY].update(program=program, ops={op: ops.count(op) for op in ops}, nodes=len(ops))

        return staged(bert(), "int8:qdq", of=changed(change))

    of_quantization = [entry for entry in found(of(old), of(new)) if entry[0].startswith("quantization.")]
    assert of_quantization == ([] if code is None else [(code, QUERY, "int8:qdq")])


@pytest.mark.parametrize(("nodes", "tagged", "foreign"), [(2, 0, True), (2, 1, False), (0, 0, False)])
def test_of_a_stage_without_any_tag_it_is_asked_what_it_was_made_of(nodes: int, tagged: int, foreign: bool) -> None:
    def fail(record: Record) -> None:
        record["parity"]["failed"] = ["pooler_output"]
        record["coverage"].update(total_nodes=nodes, direct=tagged, none=nodes - tagged)

    before, after = staged(bert()), staged(bert(), of=edited(fail))
    (failed,) = (each for each in compare_exports(before, after).findings if each.code == "parity.failed")
    assert ("was this made of the export?" in failed.message) is foreign


def inferred(*paths: str, ops: dict[str, int] | None = None) -> Callable[[dict[str, Any]], None]:
    """What modules' evidence is now, with operators that came or went."""

    def change(rows: dict[str, Any]) -> None:
        for path in paths:
            if ops:
                add_ops(rows[path], ops)
            rows[path]["evidence"] = {"inferred": rows[path]["nodes"]}

    return change


def test_of_a_stage_only_nodes_that_it_left_as_they_were_lose_their_evidence() -> None:
    lost = ("direct.dropped", "pooler", "int8:dynamic")
    assert found(staged(bert()), staged(bert(), of=changed(inferred("pooler")))) == [lost]
    fused = changed(inferred("pooler", ops={"Gather": -1, "Tanh": 1}))
    assert lost not in found(staged(bert()), staged(bert(), of=fused))
    # a module that is another in the export already
    other = changed(lambda rows: add_ops(rows["pooler"], {"Mul": 1}))
    assert found(staged(bert()), staged(other, of=changed(inferred("pooler")))) == [("ops.changed", "pooler", None)]
    both = found(staged(bert()), staged(other, of=changed(inferred("pooler", "head"))))
    assert [code for code, _, _ in both] == ["direct.dropped", "ops.changed"]


def test_an_output_that_the_graph_does_not_have_is_worse_by_itself() -> None:
    before, after = (staged(bert(), quality=quality({}, {"other": number})) for number in (36, 20))
    (finding,) = compare_exports(before, after).findings
    assert (finding.code, finding.module) == ("quality.worse", None)
    assert finding.message == "output other: SQNR 36 -> 20 dB"


def test_outputs_in_another_order_are_no_worse_than_they_were() -> None:
    def exchanged(record: Record) -> None:
        record["outputs"].reverse()

    before = staged(bert(), quality=quality({}, {"pooler_output": 36, "last_hidden_state": 60}))
    after = staged(edited(exchanged), quality=quality({}, {"pooler_output": 60, "last_hidden_state": 36}))
    assert [code for code, _, _ in found(before, after)] == ["io.reordered"]


@pytest.mark.parametrize(("before", "after"), [(None, 20), (60, None)])
def test_what_was_not_a_number_is_compared_with_none(before: int | None, after: int | None) -> None:
    def of(number: int | None) -> Record:
        row = {"path": "head", "sqnr": number, **({"reason": "too few values"} if number is None else {})}
        return staged(bert(), quality={"measured": True, "modules": [row], "outputs": []})

    assert found(of(before), of(after)) == []
