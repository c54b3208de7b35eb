"""Names and options of targets: what can't work is refused at once, with the remedy."""

from __future__ import annotations

import pytest

from pytest_htp import HTPUsageError, Target
from pytest_htp.targets.builtin import BUILT_IN, resolve_targets


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["qmn"], "unknown target 'qmn' (did you mean 'qnn'?); known targets: cpu, openvino, qnn, or a Target(…)"),
        (["cpu", "cpu"], "target 'cpu' is given twice"),
        (7, "must be a list like"),
        ({"qnn": {"htp_arch": "7x"}}, "'htp_arch' of target 'qnn' must be one of 68, 69, 73, 75, 79, 81, got '7x'"),
        ({"qnn": {"htp_arc": "75"}}, "no option 'htp_arc' (did you mean 'htp_arch'?); the provider would ignore it"),
        ({"qnn": {"soc_model": "0"}}, "'soc_model' of target 'qnn' must be a SoC model's number or name"),
        ({"qnn": {"backend_type": "cpu"}}, "option 'backend_type' of target 'qnn' can't be used"),
        ({"qnn": {"enable_htp_shared_memory_allocator": "1"}}, "without one all nodes run on the CPU"),
        ({"qnn": {"qnn_context_priority": "urgent"}}, "must be low, normal, normal_high or high, got 'urgent'"),
        ({"qnn": "75"}, "must be a mapping like {'htp_arch': '75'}"),
        (
            {"cpu": {"threads": 2}},
            "target 'cpu' has no option 'threads': CPUExecutionProvider has none and would ignore it",
        ),
        ({"qnn": {"htp_arch": None}}, "must be text or a number, got None"),
    ],
)
def test_what_cannot_work_is_refused(given: object, message: str) -> None:
    with pytest.raises(HTPUsageError) as refused:
        resolve_targets(given)
    assert message in str(refused.value)


def test_names_and_options_may_be_given_in_every_form() -> None:
    own = Target("own", provider="AzureExecutionProvider")
    assert [target.name for target in resolve_targets(["cpu", own])] == ["cpu", "own"]
    (qnn,) = resolve_targets({"qnn": {"htp_arch": 79, "htp_bf16_enable": False}})
    assert qnn.options == {"htp_arch": "79", "soc_model": "60", "htp_bf16_enable": "0"}
    assert resolve_targets("cpu") == (BUILT_IN["cpu"],)
    assert resolve_targets({"cpu": None}) == (BUILT_IN["cpu"],)


def test_a_target_needs_a_provider_or_a_compiler() -> None:
    with pytest.raises(HTPUsageError, match="needs the execution provider"):
        Target("mychip")


def test_qnns_options_are_checked_under_any_name_and_library() -> None:
    own = {"provider": "QNNExecutionProvider", "library": "libmine.so"}
    Target("mine", options={"backend_path": "libQnnHtp.so", "htp_arch": "75"}, **own)
    with pytest.raises(HTPUsageError, match="target 'mine' has no option 'htp_arc'"):
        Target("mine", options={"htp_arc": "75"}, **own)


def test_a_missing_package_names_the_extra() -> None:
    target = Target("qnn", provider="QNNExecutionProvider", package="no_such_package_of_a_vendor", extra="qnn")
    with pytest.raises(HTPUsageError, match=r"pip install 'pytest-htp\[qnn\]'"):
        target.require()
