"""Tests without code behave as tests with code do: same engine, same baselines, same report."""

from __future__ import annotations

from pathlib import Path

from htp_examples import CHANGED, NET

from fixtures import config_dir
from pytest_htp.testing import Example

MANIFEST = """
[export.net]
model = "net:make"
inputs = { x = "float32[batch=2, 3]" }
parity = false

[export."org/wide"]
model = "net:make"
inputs = { x = "float32[2, 3]" }
marks = ["slow"]
parity = false
[export."org/wide".matrix]
opset_version = [18, 20]
"""
INI = "[pytest]\naddopts = --strict-markers\nmarkers =\n    slow: takes long\n"


def example(folder: Path, manifest: str = MANIFEST, **files: str) -> Example:
    more = {name.replace("_py", ".py"): content for name, content in files.items()}
    return Example({"models/nets.htp.toml": manifest, "models/net.py": NET, "pytest.ini": INI, **more}, folder=folder)


def test_first_run_update_and_unchanged(tmp_path: Path) -> None:
    project = example(tmp_path)
    first = project.run_pytest("models/nets.htp.toml::net", outcomes={"failed": 1})
    assert "pytest models/nets.htp.toml::net --snapshot-update" in first.stdout
    assert first.created_files == []

    update = project.run_pytest("--snapshot-update", outcomes={"passed": 3})
    folder = "models/__htp_baselines__/nets.htp/"
    assert [name[: -len("-12345678.json")] for name in update.created_files] == [
        f"{folder}net",
        f"{folder}org-wide-opset_version-18",
        f"{folder}org-wide-opset_version-20",
    ]
    [net] = [record for name, record in project.baselines.items() if "/net-" in name]
    assert net["inputs"] == [{"name": "x", "dtype": "FLOAT", "dims": ["batch", 3]}]
    opsets = [record["opset"][""] for name, record in project.baselines.items() if "wide" in name]
    assert opsets == [18, 20]

    again = project.run_pytest(outcomes={"passed": 3})
    assert again.touched_files == []
    assert {export["verdict"] for export in again.exports} == {"unchanged"}
    places = {(export["nodeid"], export["file"], export["line"]) for export in again.exports}
    assert ("models/nets.htp.toml::net", "models/nets.htp.toml", 2) in places
    assert ("models/nets.htp.toml::org/wide[opset_version=20]", "models/nets.htp.toml", 7) in places
    assert "stale baseline" not in again.stdout

    project.replace("models/net.py", *CHANGED)
    changed = project.run_pytest("models/nets.htp.toml::net", outcomes={"failed": 1})
    assert changed.export["verdict"] == "drift"
    assert {finding["code"] for finding in changed.findings} == {"ops.changed"}

    project.replace("models/nets.htp.toml", "[export.net]", "[export.renamed]")
    pruned = project.run_pytest("--htp-prune", "-k", "wide and 18")
    assert [name[: -len("-12345678.json")] for name in pruned.deleted_files] == [f"{folder}net"]


CALIBRATED = """
[export.net]
model = "net:make"
inputs = { x = [[1.0, 2.0, 3.0]] }
stages = ["int8:qdq"]
calibration = [{ x = [[1.0, 2.0, 3.0]] }, { x = [[-1.0, 0.5, 2.0]] }]
parity = false
"""


def test_calibration_and_what_does_not_fit(tmp_path: Path) -> None:
    project = example(tmp_path, CALIBRATED)
    project.run_pytest("--snapshot-update", outcomes={"passed": 1})
    [stage] = project.baseline["stages"]
    assert stage["name"] == "int8:qdq"
    project.replace("models/nets.htp.toml", "[[-1.0, 0.5, 2.0]]", "[[-1.0, 0.5]]")
    wrong = project.run_pytest(outcomes={"failed": 1})
    assert "calibration, set 2: " in wrong.stdout


TWINS = """
def make_rounded():
    net = make()
    for parameter in net.parameters():
        parameter.data = (parameter.data * 16).round() / 16
    return net
"""
WITH_TWIN = """
[export.net]
model = "net:make_rounded"
reference = "net:make"
inputs = { x = [[1.0, 2.0, 3.0]] }
"""


def test_a_float_twin(tmp_path: Path) -> None:
    project = example(tmp_path, WITH_TWIN)
    project.write({"models/net.py": NET + TWINS})
    project.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert {row["path"] for row in project.baseline["quality"]["modules"]} >= {"", "first", "act", "last"}
    project.replace("models/nets.htp.toml", '"net:make"', '"net:made"')
    wrong = project.run_pytest(outcomes={"failed": 1})
    assert "reference 'net:made': net has no 'made', did you mean 'make'?" in wrong.stdout


TARGETS = """
[export.net]
model = "net:make"
inputs = { x = "float32[1, 3]" }
targets = TARGETS
parity = false
"""


def test_targets(tmp_path: Path) -> None:
    project = example(tmp_path, TARGETS.replace("TARGETS", '["cpu"]'))
    project.run_pytest("--snapshot-update", outcomes={"passed": 1})
    [target] = project.baseline["targets"]
    assert (target["name"], target["share"], target["partitions"]) == ("cpu", 100, 1)
    project.replace("models/nets.htp.toml", '["cpu"]', "{ qnn = { htp_arch = 7 } }")
    wrong = project.run_pytest(outcomes={"failed": 1})
    assert "option 'htp_arch' of target 'qnn' must be one of 68, 69" in wrong.stdout


def test_selecting(tmp_path: Path) -> None:
    project = example(tmp_path, test_other_py="def test_other():\n    pass\n")
    collect = ("--collect-only", "-q")
    assert "3/4 tests collected" in project.run_pytest(*collect, "-m", "htp", report=False).stdout
    assert "2/4 tests collected" in project.run_pytest(*collect, "-m", "slow", report=False).stdout
    assert "1/4 tests collected" in project.run_pytest(*collect, "-k", "net and not wide", report=False).stdout
    assert "\n1 test collected" in f"\n{project.run_pytest(*collect, '-p', 'no:htp', report=False).stdout}"


def test_a_wrong_manifest_is_a_collection_error_of_that_file_alone(tmp_path: Path) -> None:
    project = example(tmp_path, '[export.a]\nmodel = "nett:make"\n\n[export.b]\nmodel = "net:make"\nopset = 1\n')
    project.write({"test_other.py": "def test_other():\n    pass\n"})
    run = project.run_pytest("--continue-on-collection-errors", outcomes={"passed": 1, "error": 1})
    assert "models/nets.htp.toml:2: model 'nett:make': there is no module 'nett'" in run.stdout
    assert "models/nets.htp.toml:6: export.b has an unknown key 'opset', did you mean 'opset_version'?" in run.stdout
    assert "Traceback" not in run.stdout
    assert "items.py" not in run.stdout


def test_an_unknown_mark_is_a_collection_error(tmp_path: Path) -> None:
    project = example(tmp_path, '[export.a]\nmodel = "net:make"\nmarks = ["sloow"]\n')
    run = project.run_pytest(outcomes={"error": 1})
    assert "models/nets.htp.toml:1: export.a: marks: 'sloow' not found in `markers`" in run.stdout


def test_marks_that_pytest_knows(tmp_path: Path) -> None:
    manifest = "".join(f'[export.{mark}]\nmodel = "net:make"\nmarks = ["{mark}"]\n' for mark in ("skip", "xfail"))
    example(tmp_path, manifest).run_pytest(outcomes={"skipped": 1, "xfailed": 1})


def test_a_failing_item_shows_its_message_and_no_traceback(tmp_path: Path) -> None:
    project = example(
        tmp_path,
        """
[export.lost]
model = "net:mak"
[export.raises]
model = "net:Raises"
inputs = { x = "float32[2, 3]" }
""",
    )
    project.replace("models/net.py", "class Raises", "def mike():\n    pass\n\nclass Raises")
    project.replace("models/nets.htp.toml", "net:Raises", "net:raises")
    project.replace("models/net.py", "X = torch.ones(2, 3)", "X = 1\n\ndef raises():\n    return Raises()\n")
    run = project.run_pytest(outcomes={"failed": 2})
    message = "models/nets.htp.toml:2: export.lost: model 'net:mak': net has no 'mak', did you mean 'make'?"
    assert message in run.stdout
    assert "export of Raises failed in step 3/8 (hierarchy building)" in run.stdout
    for internal in ("Traceback", "items.py", "During handling", "def test("):
        assert internal not in run.stdout


def test_fixtures_and_settings_reach_the_items(tmp_path: Path) -> None:
    conftest = """
import pytest

@pytest.fixture(autouse=True, scope="module")
def greet(request):
    print("module", request.module.__name__, request.path.name)

@pytest.fixture(autouse=True)
def name(request):
    print("function", request.function.__name__)
"""
    project = example(tmp_path, MANIFEST.replace("parity = false\n\n", "parity = false\nmin_coverage = 99\n\n"))
    project.write({"conftest.py": conftest})
    run = project.run_pytest("-s", "-k", "net and not wide", "--htp-fail-on=breaking", "--snapshot-update")
    assert "module nets.htp.toml nets.htp.toml" in run.stdout
    assert "function net" in run.stdout
    assert run.export["fail_on"] == "breaking"


def test_generation_gives_one_baseline_per_component(tmp_path: Path) -> None:
    config = (config_dir("gpt2") / "config.json").read_text(encoding="utf-8")
    project = example(tmp_path, '[export.gpt]\nmodel = "gpt"\ngeneration = true\nparity = false\n')
    project.write({"models/gpt/config.json": config.replace('"n_layer": 2', '"n_layer": 1')})
    update = project.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert [name[: -len("-12345678.json")] for name in update.created_files] == [
        "models/__htp_baselines__/nets.htp/gpt-decode",
        "models/__htp_baselines__/nets.htp/gpt-prefill",
    ]
    again = project.run_pytest(outcomes={"passed": 1})
    assert again.touched_files == []
    assert [export["name"] for export in again.exports] == ["gpt [decode]", "gpt [prefill]"]
    assert {export["verdict"] for export in again.exports} == {"unchanged"}


def test_on_two_workers(tmp_path: Path) -> None:
    project = example(tmp_path)
    first = project.run_pytest("-n", "2", "--snapshot-update", outcomes={"passed": 3})
    assert len(first.created_files) == 3
    assert len(first.exports) == 3


def test_values_of_inputs_may_be_spelled_out(tmp_path: Path) -> None:
    manifest = """
[export.net]
model = "net:make"
inputs = { x = [[1.0, 2.0, 3.0], [0.5, 0.25, 0.125]] }

[export.other]
model = "net:make"
inputs = { y = "float32[2, 3]" }
"""
    project = example(tmp_path, manifest)
    run = project.run_pytest("--snapshot-update", outcomes={"passed": 1, "failed": 1})
    [net] = project.baselines.values()
    assert net["inputs"] == [{"name": "x", "dtype": "FLOAT", "dims": [2, 3]}]
    assert "models/nets.htp.toml:6: export.other: export of Net failed in step 2/8" in run.stdout
