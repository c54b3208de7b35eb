"""For every code, one fault in a record: the code, its verdict, the module, and nothing else at or above
drift."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from pytest_htp.compare.codes import CODES
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Finding
from tests.compare._records import (
    Record,
    add_ops,
    bert,
    changed,
    codes,
    edited,
    layer_rows,
    linear,
    model_rows,
    record_of,
    row,
)

SELF = "encoder.layer.{0..11}.attention.self"
LAYERS = range(12)


def each_layer(change: Callable[[dict[str, Any], str], None], **totals: Any) -> Record:
    def run(rows: dict[str, Any]) -> None:
        for index in LAYERS:
            change(rows, f"encoder.layer.{index}")

    return changed(run, **totals)


def input_added() -> Record:
    tensor = {"name": "token_type_ids", "dtype": "INT64", "dims": ["d0", "d1"]}
    return edited(lambda r: r["inputs"].append(tensor), changed(lambda rows: add_ops(rows["embeddings"], {"Add": 1})))


def dims_fixed() -> Record:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows[""], {"Expand": -2}, "BOOL")

    record = changed(change)
    for tensor in record["inputs"] + record["outputs"]:
        tensor["dims"] = [2, *("d0" if dim == "d1" else dim for dim in tensor["dims"][1:])]
    return record


def dims_freed() -> tuple[Record, Record]:
    after = bert()
    # Shape code that no module owns comes with new axes: neither coverage finding may follow.
    after["untagged"] = {"nodes": 3, "ops": {"Shape": 1, "Squeeze": 2}}
    after["coverage"] |= {"total_nodes": 282, "none": 3, "coverage": 98.94, "direct_coverage": 98.94}
    before = bert()
    for tensor in before["inputs"] + before["outputs"]:
        tensor["dims"][0] = 2
    return before, after


def untied() -> Record:
    def change(rows: dict[str, Any]) -> None:
        rows["head"]["weights"] = {"FLOAT": 1_004_096}

    record = changed(change)
    record["weights"]["tied"] = []
    record["weights"]["duplicates"] = [
        {"names": ["embeddings.word.weight", "head.weight"], "bytes": 1_000_000, "copies": 2}
    ]
    return record


def duplicated() -> Record:
    def change(rows: dict[str, Any]) -> None:
        rows["pooler.dense"]["weights"] = {"FLOAT": 1_004_096}

    record = changed(change)
    record["weights"]["duplicates"] = [
        {"names": ["embeddings.word.weight", "pooler.dense.weight"], "bytes": 10**6, "copies": 2}
    ]
    return record


def constant_folded() -> Record:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["embeddings"], {"Add": -1})
        rows["embeddings"]["weights"] = {"FLOAT": 400_000_000}

    return changed(change)


def half_precision(rows: dict[str, Any]) -> None:
    item = rows["encoder.layer.3.dense"]
    item |= {"weights": {"FLOAT16": 8192}, "dtypes": {"FLOAT16": 2}, "fingerprint": "half"}
    add_ops(rows["encoder.layer.3"], {"Cast": 2})
    rows["encoder.layer.3"]["dtypes"] = {"FLOAT": 1, "FLOAT16": 1}


def metadata_lost() -> Record:
    """As after a down-conversion to opset 17: every node without evidence, most without a module."""
    rows = [{**item, "nodes": 0, "ops": {}, "dtypes": {}, "evidence": {}, "fingerprint": None} for item in model_rows()]
    ops: dict[str, int] = {}
    for item in model_rows():
        for op, count in item["ops"].items():
            ops[op] = ops.get(op, 0) + count
    return record_of(rows, untagged=ops)


def metadata_inferred(rows: dict[str, Any], layer: str) -> None:
    """Attention lost its scope; inference put half of it into the enclosing module."""
    add_ops(rows[f"{layer}.attention.self"], {"Reshape": -4})
    add_ops(rows[f"{layer}.attention"], {"Reshape": 4}, evidence="inferred")


def into_branch(rows: dict[str, Any]) -> None:
    item = rows["pooler"]
    add_ops(item, {"If": 1, "Identity": 2})
    item["evidence"] = {"direct": 1, "inferred": 4}
    rows["pooler.dense"] |= {"evidence": {"inferred": 2}, "fingerprint": "body"}


def moved(rows: dict[str, Any], layer: str) -> None:
    add_ops(rows[f"{layer}.attention.self.query"], {"MatMul": -1})
    add_ops(rows[f"{layer}.attention.self"], {"MatMul": 1})


def moved_and_contradicted() -> Record:
    record = each_layer(moved)
    record["attestation"]["contradicted"] = ["encoder.layer.{0..11}.attention.self.query"]
    return record


def renamed_module() -> Record:
    return record_of({**item, "path": item["path"].replace(".attention", ".attn")} for item in model_rows())


def wrapped() -> Record:
    inner = [{**item, "path": f"bert.{item['path']}" if item["path"] else "bert"} for item in model_rows()]
    return edited(
        lambda r: r["weights"].update(tied=[["bert.embeddings.word.weight", "bert.head.weight"]]),
        record_of([row("", "Wrapper"), *inner]),
    )


def float64_norm(rows: dict[str, Any]) -> None:
    item = rows["encoder.layer.7.attention.output.LayerNorm"]
    add_ops(item, {"Cast": 2})
    item["dtypes"] = {"DOUBLE": 2, "FLOAT": 1}


def parity(**fields: Any) -> Record:
    return edited(lambda r: r["parity"].update(fields))


def output_error(decade: str) -> list[dict[str, str]]:
    return [{"name": "last_hidden_state", "max_abs": decade, "max_rel": decade}]


def swap_outputs(record: Record) -> None:
    record["outputs"].reverse()


def name_batch(record: Record) -> None:
    for tensor in record["inputs"] + record["outputs"]:
        tensor["dims"][0] = "batch"


def rename_output(record: Record) -> None:
    record["outputs"][1]["name"] = "output_1"


FAULTS: dict[str, tuple[str, str | None, Record | tuple[Record, Record]]] = {
    "input added": ("io.input_added", None, input_added()),
    "input removed": ("io.input_removed", None, edited(lambda r: r["inputs"].pop())),
    "output added": (
        "io.output_added",
        None,
        edited(lambda r: r["outputs"].append({"name": "extra", "dtype": "FLOAT", "dims": []})),
    ),
    "output removed": (
        "io.output_removed",
        None,
        edited(lambda r: r["outputs"].pop(), changed(lambda rows: add_ops(rows["pooler"], {"Tanh": -1}))),
    ),
    "output renamed": ("io.renamed", None, edited(rename_output)),
    "axis name lost": ("io.renamed", None, (edited(name_batch), bert())),
    "outputs swapped": ("io.reordered", None, edited(swap_outputs)),
    "output in double": (
        "io.dtype",
        None,
        edited(
            lambda r: r["outputs"][0].update(dtype="DOUBLE"),
            changed(lambda rows: add_ops(rows[""], {"Cast": 1}, "DOUBLE")),
        ),
    ),
    "output squeezed": (
        "io.rank",
        None,
        edited(
            lambda r: r["outputs"][0].update(dims=["d0", 128]),
            changed(lambda rows: add_ops(rows[""], {"Gather": 1})),
        ),
    ),
    "batch fixed": ("io.dim_fixed", None, dims_fixed()),
    "batch freed": ("io.dim_freed", None, dims_freed()),
    "other width": ("io.dim_changed", None, edited(lambda r: r["outputs"][1].update(dims=["d0", 256]))),
    "axes tied": ("io.dim_symbol", None, edited(lambda r: r["inputs"][1].update(dims=["d0", "d0"]))),
    "other opset": ("opset.changed", None, edited(lambda r: r.update(opset={"": 20}))),
    "foreign domain": (
        "domain.added",
        "pooler",
        edited(
            lambda r: r.update(opset={"": 23, "com.acme": 1}),
            changed(lambda rows: add_ops(rows["pooler"], {"com.acme::Pool": 1})),
        ),
    ),
    "ones_like folded": ("weights.grown", "embeddings", constant_folded()),
    "stored twice": ("weights.duplicated", "pooler.dense", duplicated()),
    "tying undone": ("weights.untied", "head", untied()),
    "one layer in half": ("weights.dtype", "encoder.layer.3.dense", changed(half_precision)),
    "one more layer": (
        "module.added",
        "encoder.layer.12",
        changed(lambda rows: rows.update({r["path"]: r for r in layer_rows("encoder.layer.12")})),
    ),
    "module renamed": ("module.added", "encoder.layer.{0..11}.attn", renamed_module()),
    "pooler removed": ("module.removed", "pooler.dense", changed(lambda rows: rows.pop("pooler.dense"))),
    "gelu to relu": (
        "module.class_changed",
        "encoder.layer.{0..11}.act",
        each_layer(lambda rows, layer: rows.update({f"{layer}.act": row(f"{layer}.act", "ReLU", {"Relu": 1})})),
    ),
    "mul and add": (
        "ops.changed",
        "encoder.layer.4.act",
        changed(lambda rows: add_ops(rows["encoder.layer.4.act"], {"Mul": 1, "Add": 1})),
    ),
    "other attribute": (
        "ops.changed",
        "encoder.layer.2.dense",
        changed(lambda rows: rows["encoder.layer.2.dense"].update(fingerprint="other")),
    ),
    "reshape chain": (
        "ops.exploded",
        SELF,
        each_layer(lambda rows, at: add_ops(rows[f"{at}.attention.self"], {"Reshape": 30})),
    ),
    "eager attention": (
        "fusion.lost",
        SELF,
        each_layer(
            lambda rows, at: add_ops(
                rows[f"{at}.attention.self"], {"Attention": -1, "MatMul": 2, "Softmax": 1, "Add": 8}
            )
        ),
    ),
    "branch": ("controlflow.added", "pooler", changed(into_branch)),
    "double norm": ("dtype.internal", "encoder.layer.7.attention.output.LayerNorm", changed(float64_norm)),
    "metadata lost": ("coverage.dropped", "", metadata_lost()),
    "metadata inferred": ("direct.dropped", SELF, each_layer(metadata_inferred)),
    "wrong scope": ("tags.moved", f"{SELF}.query", each_layer(moved)),
    "wrong scope, attested": ("tags.moved", f"{SELF}.query", moved_and_contradicted()),
    "contradicted": (
        "attestation.contradicted",
        SELF,
        edited(lambda r: r["attestation"].update(contradicted=[SELF])),
    ),
    "wrong numbers": (
        "parity.failed",
        "encoder.layer.1.dense",
        parity(
            outputs=output_error("1e-01"),
            failed=["last_hidden_state"],
            first_divergence="encoder.layer.1.dense",
        ),
    ),
    "hidden error": (
        "parity.worse",
        "encoder.layer.1.dense",
        parity(first_divergence="encoder.layer.1.dense", divergence="1e-02"),
    ),
    "worse numbers, and from where": (
        "parity.worse",
        "encoder.layer.1.dense",
        parity(outputs=output_error("1e-03"), first_divergence="encoder.layer.1.dense", divergence="1e-02"),
    ),
    "hook gone": ("evidence.unobserved", None, edited(lambda r: r.update(unobserved=["torch.onnx.gone"]))),
    "worse numbers": ("parity.worse", None, parity(outputs=output_error("1e-03"))),
}


# Faults of stages, targets and generation, not of the export itself: test_compare_stages.py.
OF_STAGES = {
    "quality.worse", "quality.better", "quantization.lost", "quantization.gained", "target.failed", "placement.moved",
    "placement.gained", "placement.split", "tokens.differ", "flops.grown", "flops.shrunk",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_gives_its_finding_and_no_other(fault: str) -> None:
    code, module, records = FAULTS[fault]
    before, after = records if isinstance(records, tuple) else (bert(), records)
    found = compare_exports(before, after).at_or_above("drift")
    # What a new module brings is told beside it: a gate at "regression" must see it.
    told = [finding for finding in found if finding.code != "weights.grown" or code != "module.added"]
    assert [(finding.code, finding.module) for finding in told] == [(code, module)]
    assert told[0].verdict == CODES[code].verdict
    assert told[0].message


def test_every_code_that_comparing_can_report_has_a_fault() -> None:
    milder = {"fusion.gained", "coverage.improved", "toolchain.changed", "record.changed"}  # tested below
    by_plugin = {"step.failed", "stage.failed", "export.missing"}  # what was not made has no record to compare
    of_files = {"weights.values", "exporter.wording", "model.unrelated"}  # tests/files
    assert {code for code, _, _ in FAULTS.values()} | milder | by_plugin | OF_STAGES | of_files == set(CODES)


def test_gained_fusions_are_an_improvement_though_fused_nodes_have_no_direct_evidence() -> None:
    def fuse(rows: dict[str, Any], at: str) -> None:
        item = rows[f"{at}.attention.self"]
        add_ops(item, {"Transpose": -4})
        add_ops(item, {"RotaryEmbedding": 1}, evidence="fused")

    assert codes(bert(), each_layer(fuse)) == ["fusion.gained"]


def test_recovered_tags_are_an_improvement_without_noise() -> None:
    assert codes(metadata_lost(), bert()) == ["coverage.improved"]


def test_names_that_the_record_gave_by_place_are_compared_by_place() -> None:
    def named(name: str, **fields: Any) -> Record:
        return edited(lambda r: r["outputs"][0].update(name=name, **fields))

    unnamed = named("output_0", named=False)
    assert codes(unnamed, named("output_0", named=False, dtype="DOUBLE")) == ["io.dtype"]
    assert codes(unnamed, named("logits")) == ["io.renamed"]
    assert codes(named("logits"), unnamed) == ["io.renamed"]


def test_outputs_made_by_each_others_modules_are_reordered_though_names_stay() -> None:
    def made_by(*makers: str | tuple[str, list[Any]] | None) -> Record:
        def edit(record: Record) -> None:
            for tensor, maker in zip(record["outputs"], makers, strict=True):
                tensor["module"], tensor["dims"] = maker if isinstance(maker, tuple) else (maker, ["batch", 8])

        return edited(edit)

    right = made_by("head", "pooler")
    assert codes(right, made_by("pooler", "head")) == ["io.reordered"]
    assert codes(right, right) == []
    assert codes(right, made_by("head", "embeddings")) == ["record.changed"]
    shaped = [("head", ["batch", 5, 3]), ("pooler", [2, "batch", 8])]
    assert codes(made_by(*shaped), made_by(*shaped[::-1])) == ["io.reordered"], "their shapes moved with them"
    fixed = [("pooler", [2, "batch", 8]), ("head", [2, 5, 3])]
    assert codes(made_by(*shaped), made_by(*fixed)) == ["io.reordered", "io.dim_fixed"]
    assert codes(made_by(None, None), right) == ["record.changed"]


def test_ties_are_watched_in_the_model_where_the_graph_stored_a_copy_already() -> None:
    def apart(record: Record) -> None:
        record["weights"]["tied_apart"] = copy.deepcopy(record["weights"]["tied"])

    before = edited(apart)
    assert codes(before, before) == []
    assert codes(before, bert()) == ["record.changed"]
    (finding,) = compare_exports(bert(), before).at_or_above("drift")
    assert (finding.code, finding.module) == ("weights.untied", "head")
    (finding,) = compare_exports(before, edited(lambda r: r["weights"].update(tied=[]))).at_or_above("drift")
    assert (finding.code, finding.module) == ("weights.untied", "head")


def test_parameters_converted_for_a_module_that_casts_are_internal_precision() -> None:
    def change(rows: dict[str, Any]) -> None:
        float64_norm(rows)
        rows["encoder.layer.7.attention.output.LayerNorm"]["weights"] = {"DOUBLE": 512}

    after = changed(change)
    after["weights"]["parameters"] = bert()["weights"]["parameters"]
    found = compare_exports(bert(), after).at_or_above("drift")
    assert [(f.code, f.module) for f in found] == [("dtype.internal", "encoder.layer.7.attention.output.LayerNorm")]


def test_a_renamed_child_is_not_also_a_rewired_parent() -> None:
    def change(rows: dict[str, Any]) -> None:
        for index in LAYERS:
            at = f"encoder.layer.{index}"
            rows[f"{at}.activation"] = {**rows.pop(f"{at}.act"), "path": f"{at}.activation"}
            rows[f"{at}.dense"]["fingerprint"] = "reads another name"

    found = compare_exports(bert(), changed(change)).findings
    assert [(f.code, f.module) for f in found] == [("module.added", "encoder.layer.{0..11}.activation")]


def test_contradictions_that_follow_lost_evidence_are_told_with_it() -> None:
    after = each_layer(metadata_inferred)
    after["attestation"]["contradicted"] = ["encoder.layer.{0..11}.attention"]
    (finding,) = compare_exports(bert(), after).at_or_above("drift")
    assert finding.code == "direct.dropped"
    assert "contradict the tags of 12 modules" in finding.message


def test_renumbered_symbols_are_silent_in_expressions_too() -> None:
    def dims(record: Record, first: str, second: str, computed: str) -> None:
        record["inputs"][0]["dims"], record["inputs"][1]["dims"] = [first, 4], [second, 4]
        record["outputs"] = [{"name": "y", "dtype": "FLOAT", "dims": [computed]}]

    before = edited(lambda r: dims(r, "d0", "d1", "2*d0 + d1"))
    after = edited(lambda r: dims(r, "d1", "d0", "d0 + 2*d1"))
    assert not compare_exports(before, after).at_or_above("drift")
    other = edited(lambda r: dims(r, "d1", "d0", "d0 + 3*d1"))
    assert codes(before, other) == ["io.dim_symbol"]


def test_what_was_not_measured_is_silent() -> None:
    after = bert()
    for part in ("parity", "attestation"):
        after[part] = {"measured": False, "reason": "onnxruntime is not installed"}
    after["weights"]["kept"] = False
    assert codes(bert(), after) == []
    assert codes(after, bert()) == []


def test_a_difference_that_no_code_stands_for_is_said_once_as_info() -> None:
    found = compare_exports(bert(), changed(lambda rows: rows["head"].update(calls=2))).findings
    assert [(f.code, f.verdict) for f in found] == [("record.changed", "info")]
    assert "head" in found[0].message


def test_toolchain_changes_are_listed_and_info() -> None:
    after = bert()
    after["toolchain"] = {"onnx": "1.23.2", "torch": "2.14.0", "onnxscript": "0.8.0"}
    result = compare_exports(bert(), after)
    assert result.toolchain_changed == (
        ("onnxscript", None, "0.8.0"),
        ("torch", "2.13.0", "2.14.0"),
        ("transformers", "5.23.0", None),
    )
    assert (result.verdict, [f.code for f in result.findings]) == ("info", ["toolchain.changed"])


def test_a_wrapped_model_is_one_move_and_one_new_module() -> None:
    found = compare_exports(bert(), wrapped()).findings
    assert [(f.code, f.module) for f in found if f.code.startswith("module")] == [
        ("module.added", "bert"),
        ("module.added", "bert"),
        ("module.class_changed", ""),
    ]
    assert not any(f.code.startswith(("ops", "weights", "tags")) for f in found)


def test_a_module_put_into_a_sequential_is_one_finding() -> None:
    classes = ["Linear", "ReLU", "Linear", "Tanh", "Linear"]
    old = [row("", "Sequential")] + [
        linear(str(i)) if c == "Linear" else row(str(i), c, {c: 1}) for i, c in enumerate(classes)
    ]
    classes.insert(1, "LayerNorm")
    new = [row("", "Sequential")] + [
        linear(str(i)) if c == "Linear" else row(str(i), c, {c: 1}) for i, c in enumerate(classes)
    ]
    before, after = record_of(old), record_of(new)
    before["weights"]["tied"] = after["weights"]["tied"] = []
    found = compare_exports(before, after).findings
    assert [(f.code, f.module) for f in found] == [("module.added", "1")]
    assert "renumbered" in found[0].message


def test_only_the_differing_layers_are_named() -> None:
    def change(rows: dict[str, Any]) -> None:
        for index in (2, 3, 9):
            add_ops(rows[f"encoder.layer.{index}.act"], {"Mul": 1})

    (finding,) = compare_exports(bert(), changed(change)).findings
    assert finding.module == "encoder.layer.{2..3,9}.act"
    assert (finding.before, finding.after) == ({"Mul": 0}, {"Mul": 1})


def test_the_users_source_line_is_named_unless_the_toolchain_changed() -> None:
    after = changed(lambda rows: add_ops(rows["pooler"], {"Mul": 1}))
    lines = {"pooler": {"Mul": "models/net.py:42", "Tanh": "models/net.py:7"}}
    (finding,) = compare_exports(bert(), after, sources=lines).findings
    assert finding.message.endswith("(at models/net.py:42)")
    after["toolchain"]["torch"] = "2.14.0"
    assert all("net.py" not in f.message for f in compare_exports(bert(), after, sources=lines).findings)


def test_a_graph_that_explodes_in_many_small_steps_is_seen_as_a_whole() -> None:
    def change(rows: dict[str, Any]) -> None:
        for item in rows.values():
            if item["nodes"]:
                add_ops(item, {"Identity": max(2, item["nodes"])})

    found = compare_exports(bert(), changed(change)).findings
    assert ("ops.exploded", None) in [(f.code, f.module) for f in found]


def test_folded_and_unfolded_records_compare_equal() -> None:
    assert codes(bert(fold=True), bert(fold=False)) == []


def test_findings_are_plain_read_only_dicts() -> None:
    (finding,) = compare_exports(bert(), edited(rename_output)).findings
    assert list(finding) == ["code", "verdict", "module", "message", "before", "after", "stage"]
    assert finding.code == finding["code"]
    with pytest.raises(AttributeError, match="read-only"):
        finding.code = "x"
    with pytest.raises(AttributeError):
        _ = finding.nothing
    assert copy.deepcopy(finding) == finding
    assert isinstance(copy.deepcopy(finding), Finding)


@pytest.mark.parametrize(
    ("after", "values", "found"),
    [
        ("%1 = Exp(in0) | %2 = Exp(in1)", ("Exp#1", "Exp#0"), ["io.reordered"]),
        ("%1 = Exp(in0) | %2 = Exp(in1)", ("Exp#0", "Exp#1"), []),
        # another order of equal operators where the code around them is another
        ("%1 = Exp(in0; a=1) | %2 = Exp(in1)", ("Exp#1", "Exp#0"), ["ops.changed"]),
        # of different ones it is told all the same
        ("%1 = Exp(in0; a=1) | %2 = Sin(in1)", ("Sin", "Exp"), ["io.reordered", "ops.changed"]),
    ],
)
def test_which_of_equal_operators_makes_an_output(after: str, values: tuple[str, str], found: list[str]) -> None:
    def made(program: str, values: tuple[str, str]) -> Record:
        def edit(record: Record) -> None:
            shape = record["outputs"][0]
            record["outputs"] = [
                {**shape, "name": name, "module": "pooler", "value": value}
                for name, value in zip("ab", values, strict=True)
            ]
            for each in record["modules"]:
                if each["path"] == "pooler":
                    each["program"] = program.split(" | ")

        return edited(edit)

    second = "Sin(in1)" if "Sin" in after else "Exp(in1)"
    old = ("Exp", "Sin") if "Sin" in after else ("Exp#0", "Exp#1")
    assert codes(made(f"%1 = Exp(in0) | %2 = {second}", old), made(after, values)) == found
