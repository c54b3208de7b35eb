"""A third party's plugin contributes inputs, findings, report sections and names."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import CHANGED, project

from pytest_htp import Finding, HTPExporter, HTPUsageError
from pytest_htp.compare.extra import with_findings
from pytest_htp.compare.finding import Comparison
from pytest_htp.compare.policy import Policy
from pytest_htp.testing import Example

TEST = """
from net import make

def test_net(htp_export):
    export = htp_export(make(), parity=False)
    print(sorted(set(export.tags.values())))
"""

# As a vendor would ship it: a module with hook implementations, loaded by -p.
VENDOR = '''
import pytest

@pytest.hookimpl
def pytest_htp_make_inputs(model, config):
    """Wherever the first layer says how wide inputs are."""
    assert config.rootpath.name == "project"
    if hasattr(model, "first"):
        return {"x": f"float32[batch=2, {model.first.in_features}]"}

@pytest.hookimpl
def pytest_htp_findings(baseline, current, export):
    if export.data.total_parameters > 1000:
        yield {"code": "x-acme.too-big", "verdict": "breaking", "message": "more than 1000 parameters"}
    if baseline is not None and baseline["graph"]["nodes"] != current["graph"]["nodes"]:
        yield {
            "code": "x-acme.nodes",
            "verdict": "info",
            "message": "another number of nodes",
            "module": "",
            "before": baseline["graph"]["nodes"],
            "after": current["graph"]["nodes"],
        }

@pytest.hookimpl
def pytest_htp_report_sections(result):
    return [("Memory <b>", f"{result['bytes']} bytes\\n<script>alert(1)</script>\\x1b[31m")]

@pytest.hookimpl
def pytest_htp_module_name(module, path):
    if type(module).__name__ == "Linear":
        return f"Linear[{module.in_features}/{module.out_features}]"
'''


def with_vendor(folder: Path) -> Example:
    return project(folder, TEST, acme=VENDOR).write({"pytest.ini": "[pytest]\naddopts = -p acme\npythonpath = .\n"})


def test_a_third_party_plugin(tmp_path: Path) -> None:
    example = with_vendor(tmp_path)
    first = example.run_pytest("--snapshot-update", "-rP", outcomes={"passed": 1})
    # Inputs, with a name for the batch axis.
    assert example.baseline["inputs"] == [{"name": "x", "dtype": "FLOAT", "dims": ["batch", 3]}]
    # Names in tags; the record keeps the real classes.
    assert "'/Net/Linear[3%2F4].first'" in first.stdout
    assert {row["class"] for row in example.baseline["modules"]} == {"Net", "Linear", "GELU"}
    assert first.export["coverage"]["direct"] == first.export["coverage"]["total_nodes"]
    # Sections, escaped.
    assert first.export["sections"] == [
        {"title": "Memory <b>", "text": "104 bytes\n<script>alert(1)</script>\\x1b[31m"}
    ]
    page = (example.folder / "htp-report/index.html").read_text(encoding="utf-8")
    assert "Memory &lt;b&gt;" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert(1)" not in page
    assert "Memory <b>" in first.stdout
    assert "\x1b[31m" not in first.stdout

    assert example.run_pytest(outcomes={"passed": 1}).findings == []

    example.replace("net.py", *CHANGED)
    changed = example.run_pytest(outcomes={"failed": 1})
    assert changed.codes == {"ops.changed", "x-acme.nodes"}
    [finding] = [finding for finding in changed.findings if finding["code"] == "x-acme.nodes"]
    assert (finding["module"], finding["before"], finding["after"]) == ("", 3, 4)
    assert "x-acme.nodes" in changed.stdout

    ignored = example.run_pytest("-o", "htp_policy=x-acme.nodes:ignore ops.changed:info", outcomes={"passed": 1})
    assert ignored.codes == {"ops.changed"}


def test_what_is_wrong_in_itself_keeps_a_baseline_from_being_written(tmp_path: Path) -> None:
    example = with_vendor(tmp_path).replace("test_net.py", "make()", "make(400)")
    run = example.run_pytest("--snapshot-update", outcomes={"failed": 1})
    assert run.codes == {"x-acme.too-big"}
    assert run.created_files == []


def test_a_conftest_contributes_in_its_own_folder_only(tmp_path: Path) -> None:
    example = project(tmp_path, "")
    here = TEST.replace("test_net", "test_{}").replace("parity", "baseline=False, parity")
    conftest = "def pytest_htp_make_inputs(model, config):\n    return {'x': 'float32[2, 3]'}\n"
    example.write(
        {
            "a/conftest.py": conftest,
            "a/test_a.py": here.format("a"),
            "b/test_b.py": here.format("b"),
            "pytest.ini": "[pytest]\npythonpath = .\n",
        }
    )
    run = example.run_pytest(outcomes={"passed": 1, "failed": 1})
    assert "Net is no transformers model, so its inputs can't be made" in run.stdout


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "def pytest_htp_findings(baseline, current, export):\n    yield {'code': 'x-a.b', 'message': ''}",
            "a plugin's finding needs verdict",
        ),
        (
            "def pytest_htp_findings(baseline, current, export):\n    yield {'code': 'x-a.b', 'after': {1}}",
            "must give findings of plain JSON values",
        ),
        (
            "def pytest_htp_report_sections(result):\n    return ['text']",
            "must give pairs (title, text), got 'text'",
        ),
        (
            "def pytest_htp_module_name(module, path):\n    return 3",
            "must give a non-empty name or None for Net ''",
        ),
    ],
    ids=["no verdict", "no JSON", "no pairs", "no name"],
)
def test_what_a_plugin_may_not_give(tmp_path: Path, body: str, message: str) -> None:
    test = TEST.replace("make(), parity", "make(), {'x': 'float32[2, 3]'}, baseline=False, parity")
    run = project(tmp_path, test, conftest=body).run_pytest(report=False, outcomes={"failed": 1})
    assert message in run.stdout


def test_codes_of_plugins() -> None:
    finding = Finding("x-acme.layer-too.wide_2", "m", verdict="drift", module="a")
    assert (finding.verdict, finding.cause) == ("drift", "model")
    for code in ("acme.wide", "x-acme", "x-Acme.wide", "x-.w", "x-acme.", "x-acme.wide\n"):
        with pytest.raises(HTPUsageError, match=r"unknown finding code .* plugins use 'x-vendor\.what'"):
            Finding(code, "m", verdict="drift")
    for verdict in (None, "unchanged", "bad"):
        with pytest.raises(HTPUsageError, match=r"x-a\.b needs a verdict, one of breaking"):
            Finding("x-a.b", "m", verdict=verdict)
    with pytest.raises(HTPUsageError, match=r"plugins report codes of their own, like 'x-vendor\.ops\.changed'"):
        with_findings(Comparison(), [Finding("ops.changed", "m")], Policy())


def test_findings_of_plugins_are_sorted_in_and_follow_the_policy() -> None:
    ours = Comparison((Finding("weights.grown", "m"), Finding("ops.changed", "m")))
    theirs = [
        {"code": "x-a.worst", "verdict": "breaking", "message": "m"},
        {"code": "x-a.gone", "verdict": "breaking", "message": "m"},
        Finding("x-a.mild", "m", verdict="info"),
    ]
    merged = with_findings(ours, theirs, Policy.parse("x-a.gone:ignore x-a.mild:drift"))
    assert [(finding.code, finding.verdict) for finding in merged.findings] == [
        ("x-a.worst", "breaking"),
        ("weights.grown", "regression"),
        ("ops.changed", "drift"),
        ("x-a.mild", "drift"),
    ]
    assert with_findings(ours, [], Policy()) is ours


def test_a_naming_rule_outside_of_pytest(tmp_path: Path) -> None:
    from fixtures.plain import MODELS

    fixture = MODELS["mlp"]
    model, inputs = fixture.make(), fixture.inputs()
    plain = HTPExporter(parity=False).export(model, inputs, tmp_path / "a.onnx")
    rule = HTPExporter(parity=False, module_name=lambda module, path: "Up" if path == "up" else None).export(
        model, inputs, tmp_path / "b.onnx"
    )
    assert [tag.replace("Up.up", "Linear.up") for tag in rule.tags.values()] == list(plain.tags.values())
    assert "/MLP/Up.up" in rule.tags.values()
    assert rule.record == plain.record
