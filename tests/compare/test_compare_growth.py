"""What new modules bring is told beside them, and what another class computes is named."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.message import render_failure
from tests.compare._records import bert, changed, linear, row


def _with_adapter(rows: dict[str, Any], size: int) -> None:
    rows["adapter"] = linear("adapter", size)


@pytest.mark.parametrize(("percent", "found"), [(0.9, False), (1.1, True), (33, True)])
def test_a_new_module_hides_no_growth(percent: float, found: bool) -> None:
    before = bert()
    size = int(before["weights"]["initializers"]["bytes"] * percent / 100)
    findings = compare_exports(before, changed(lambda rows: _with_adapter(rows, size))).findings
    assert ("module.added", "adapter") in [(finding.code, finding.module) for finding in findings]
    assert (("weights.grown", "adapter") in [(finding.code, finding.module) for finding in findings]) == found


def _wrapped(rows: dict[str, Any]) -> None:
    """Each projection gets two small ones beside it, as an adapter does that was not merged."""
    for layer in range(12):
        path = f"encoder.layer.{layer}.dense"
        rows[path] = row(path, "LoraLinear", {"Add": 1})
        rows[f"{path}.base_layer"] = row(
            f"{path}.base_layer", "Linear", {"MatMul": 1, "Add": 1}, weights={"FLOAT": 16384}
        )
        for name in ("lora_A", "lora_B"):
            rows[f"{path}.{name}"] = row(f"{path}.{name}", "Linear", {"MatMul": 1}, weights={"FLOAT": 2048})


def test_adapters_count_for_the_layers_that_got_them() -> None:
    findings = {finding.code: finding for finding in compare_exports(bert(), changed(_wrapped)).findings}
    assert findings["weights.grown"].module == "encoder.layer.{0..11}.dense"
    assert findings["module.class_changed"].module == "encoder.layer.{0..11}.dense"
    assert findings["module.class_changed"].message == "class Linear -> LoraLinear, with its children Add +1, MatMul +2"
    assert "was pooler" not in "".join(finding.message for finding in findings.values())


def _under_a_softmax(rows: dict[str, Any]) -> None:
    inner = {f"net.{path}" if path else "net": item for path, item in rows.items()}
    for path, item in inner.items():
        item["path"] = path
    rows.clear()
    rows.update({"": row("", "Classifier", {"Softmax": 1}), **inner})


def test_a_wrapper_that_adds_an_operator_names_it() -> None:
    findings = compare_exports(bert(), changed(_under_a_softmax)).findings
    (told,) = (finding for finding in findings if finding.code == "module.class_changed")
    assert told.message == "class BertModel -> Classifier, with its children Softmax +1"


def test_a_wrapped_model_is_known_though_it_changed_inside() -> None:
    def adapted_under_another(rows: dict[str, Any]) -> None:
        _wrapped(rows)
        _under_a_softmax(rows)

    plain, wrapped = bert(), changed(adapted_under_another)
    for before, after, code, sign, prefix in (
        (plain, wrapped, "module.added", "+", "net."),
        (wrapped, plain, "module.removed", "-", ""),
    ):
        told = {(found.code, found.module): found.message for found in compare_exports(before, after).findings}
        assert (code, "net") in told
        assert told["module.class_changed", ""].endswith(f"with its children Softmax {sign}1")
        assert told["module.class_changed", f"{prefix}encoder.layer.{{0..11}}.dense"].endswith(
            f"with its children Add {sign}1, MatMul {sign}2"
        )
        assert len([found for found, _ in told if found.startswith("module.")]) <= 4


def _another(rows: dict[str, Any]) -> None:
    rows.clear()
    rows.update({"": row("", "Conv", {"Unsqueeze": 1}), "c": row("c", "Conv1d", {"Conv": 1}, weights={"FLOAT": 64})})


def test_another_model_is_said_first() -> None:
    after = changed(_another)
    after["outputs"][0]["dims"] = ["d0", 4]
    result = compare_exports(bert(), after)
    (found,) = (finding for finding in result.findings if finding.code == "module.class_changed")
    assert found.message == "the test now exports Conv, its baseline is of BertModel"
    text = render_failure(result, name="test_net", fail_on="drift")
    assert text.index(found.message) < text.index("io.rank")


def test_a_renamed_class_is_no_other_model() -> None:
    after = changed(lambda rows: rows[""].update({"class": "BertModelV2"}))
    after["outputs"][0]["dims"] = ["d0", 4]
    messages = [finding.message for finding in compare_exports(bert(), after).findings]
    assert "class BertModel -> BertModelV2" in messages
