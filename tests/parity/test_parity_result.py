"""What the record stores, and that all of it is JSON."""

from __future__ import annotations

import json
import math

from pytest_htp.format.record import AttestationRow, OutputParityRow, ParityRow, UnmatchedRow
from pytest_htp.parity.result import Difference, Divergence, ParityResult


def result(**changes: object) -> ParityResult:
    known = {
        "outputs": [Difference("y", 3e-6, 2e-7)],
        "attestation": {"measured": True, "attested": 0, "contradicted": [], "unmatched": []},
    }
    return ParityResult(measured=True, **{**known, **changes})  # type: ignore[arg-type]


def test_noise_is_one_decade_whatever_the_weights() -> None:
    small = result(outputs=[Difference("y", 1e-9, 3e-7)]).to_record()
    large = result(outputs=[Difference("y", 2e-3, 9e-6)]).to_record()
    noise = OutputParityRow(name="y", max_abs="1e-05", max_rel="1e-05")
    assert small == large == ParityRow(measured=True, outputs=[noise])


def test_beyond_noise_both_decades_are_measured() -> None:
    [output] = result(outputs=[Difference("y", 0.3, 0.02, beyond=0.5)]).to_record().outputs
    assert (output.max_abs, output.max_rel) == ("1e+00", "1e-01")


def test_nonfinite_values_are_infinitely_far() -> None:
    record = result(outputs=[Difference("y", 0.0, 0.0, beyond=0.1, nonfinite=1)]).to_record()
    assert (record.outputs[0].max_rel, record.failed) == ("inf", ["y"])


def test_the_worst_input_set_counts() -> None:
    sets = {"longer": [Difference("y", math.inf, math.inf, beyond=1.0, shape_mismatch="[2] instead of [3]")]}
    found = result(input_sets=sets)
    assert found.failed == ["y"]
    assert found.to_record().outputs[0].max_abs == "inf"
    assert found.to_dict()["input_sets"]["longer"][0]["shape_mismatch"] == "[2] instead of [3]"


def test_the_dict_is_json() -> None:
    found = result(
        outputs=[Difference("y", math.inf, math.inf, beyond=1.0)],
        modules={"layer.0": Difference("layer.0", 1e-7, 1e-7)},
        first_divergence=Divergence("layer.0", math.inf, math.inf),
    ).to_dict()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert found["first_divergence"] == {"module": "layer.0", "call": 0, "max_abs": None, "max_rel": None}
    assert found["modules"] == {"layer.0": {"max_abs": 1e-7, "max_rel": 1e-7, "beyond": 0.0}}


def test_records_name_modules_as_patterns() -> None:
    unmatched = [{"module": f"layer.{index}.drop", "reason": "pass-through"} for index in (2, 0, 1)]
    unmatched.append({"module": "odd{name}", "reason": "constant"})
    attestation = {"measured": True, "attested": 4, "contradicted": ["b.1", "b.0"], "unmatched": unmatched}
    found = result(attestation=attestation, first_divergence=Divergence("odd{name}", 1.0, 1.0))
    assert found.attestation_record() == AttestationRow(
        measured=True,
        attested=4,
        contradicted=["b.{0..1}"],
        unmatched=[
            UnmatchedRow(module="odd%7Bname%7D", reason="constant"),
            UnmatchedRow(module="layer.{0..2}.drop", reason="pass-through"),
        ],
    )
    assert found.to_record().first_divergence == "odd%7Bname%7D"


def test_not_measured_says_why() -> None:
    found = ParityResult.not_measured("onnxruntime is not installed")
    reason = "onnxruntime is not installed"
    assert found.to_dict() == {"measured": False, "reason": reason}
    assert found.to_record() == ParityRow(measured=False, reason=reason)
    assert found.attestation_record() == AttestationRow(measured=False, reason=reason)
