"""What a comparison is put into words with: each bound from both sides."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp import HTPUsageError, compare_exports
from pytest_htp.compare.changes import bare
from pytest_htp.compare.extra import with_findings
from pytest_htp.compare.finding import Comparison, Finding
from pytest_htp.compare.lines import alike_at_the_ends
from pytest_htp.compare.markdown import render_markdown
from pytest_htp.compare.policy import Policy
from tests.compare._records import edited


@pytest.mark.parametrize(
    ("module", "cell"), [(None, "|  |"), ("", "| (root) |"), ("encoder.layer.3", "| encoder.layer.3 |")]
)
def test_a_table_tells_the_root_from_no_module(module: str | None, cell: str) -> None:
    table = render_markdown(Comparison((Finding("ops.changed", "m", module=module),)), "net", "drift")
    assert f"| ops.changed {cell} m |" in table.replace("ops\\.changed", "ops.changed").replace("\\.", ".")


@pytest.mark.parametrize(
    ("old", "new", "ends"),
    [("", "", (0, 0)), ("aa", "aaa", (2, 0)), ("ab", "aab", (1, 1)), ("abc", "abc", (3, 0)), ("xbc", "ybc", (0, 2))],
)
def test_an_element_is_at_one_end_only(old: str, new: str, ends: tuple[int, int]) -> None:
    assert alike_at_the_ends(old, new) == ends


@pytest.mark.parametrize(
    ("operator", "name"),
    [("Gelu", "Gelu"), ("com.microsoft::Gelu", "Gelu"), ("pkg.torch::aten.add", "add"), ("pkg.torch.add", "add")],
)
def test_an_operator_without_its_domain(operator: str, name: str) -> None:
    assert bare(operator) == name


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [("message", None, False), ("message", 3, False), ("module", None, True), ("module", 3, False),
     ("module", "", True), ("stage", None, True), ("stage", 3, False), ("stage", "fp16", True)],
)  # fmt: skip
def test_texts_of_a_plugins_finding(key: str, value: object, allowed: bool) -> None:
    finding: dict[str, Any] = {"code": "x-vendor.what", "message": "m", "verdict": "drift", key: value}
    if allowed:
        (found,) = with_findings(Comparison(), [finding], Policy()).findings
        assert found[key] == value
    else:
        with pytest.raises(HTPUsageError, match=f"finding's {key} must be text"):
            with_findings(Comparison(), [finding], Policy())


@pytest.mark.parametrize(("outputs", "more"), [(4, ""), (5, "; 1 more")])
def test_four_worse_outputs_are_listed(outputs: int, more: str) -> None:
    def with_errors(size: str) -> Any:
        names = [f"out{number}" for number in range(outputs)]
        errors = [{"name": name, "max_abs": size, "max_rel": size} for name in names]
        return edited(
            lambda record: record.update(
                outputs=[{"name": name, "dtype": "FLOAT", "dims": [2]} for name in names],
                parity={**record["parity"], "outputs": errors},
            )
        )

    (found,) = compare_exports(with_errors("1e-06"), with_errors("1e-02")).findings
    assert found.code == "parity.worse"
    assert found.message.count("output ") == 4
    assert found.message.endswith(more or "1e-02")
    assert ("more" in found.message) == bool(more)
