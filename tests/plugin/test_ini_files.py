"""Ini ``htp_keep_artifacts`` and ``htp_baseline_variant``."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from htp_examples import ONE_TEST, change_the_model, project, recorded

KEEPS = """
import shutil
from pathlib import Path
from net import X, make

def test_net(htp_export, request):
    export = htp_export(make(), X, parity=False, baseline=False)
    assert export.onnx_path.is_file()
    request.addfinalizer(lambda: Path("seen_in_teardown").write_text(str(export.onnx_path.is_file())))
    Path("path").write_text(str(export.onnx_path))
"""


def test_saved_models_go_after_their_test_unless_kept(tmp_path: Path) -> None:
    example = project(tmp_path, KEEPS)
    example.run_pytest(outcomes={"passed": 1})
    saved = Path(example.read("path"))
    assert not saved.exists()
    assert saved.with_name("model_htp_metadata.json").is_file(), "what is small stays for a look"
    assert example.read("seen_in_teardown") == "True", "the test's own teardown may still use it"
    example.write({"pytest.ini": "[pytest]\nhtp_keep_artifacts = true\n"})
    example.run_pytest(outcomes={"passed": 1})
    assert Path(example.read("path")).is_file()


def test_a_variant_has_its_own_baselines_and_falls_back_to_the_common_ones(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    (common,) = example.baseline_paths
    example.write({"pytest.ini": "[pytest]\nhtp_baseline_variant = torch\n"})
    run = example.run_pytest(outcomes={"passed": 1})
    assert run.export["baseline"] == common, "without a file of its own the common one is used"

    same = example.run_pytest("--snapshot-update", report=False, outcomes={"passed": 1})
    assert same.touched_files == [], "what equals the common one needs no file of its own"

    change_the_model(example)
    made = example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    minor = "-".join(version("torch").split(".")[:2])
    folder, name = common.rsplit("/", 1)
    assert made.touched_files == [f"{folder}/torch-{minor}/{name}"]
    example.run_pytest(outcomes={"passed": 1})

    example.write({"pytest.ini": "[pytest]\nhtp_baseline_variant = other\n"})
    assert example.run_pytest(outcomes={"failed": 1}).export["baseline"] == common

    example.write(
        {"test_net.py": ONE_TEST.replace("def test_net(htp_export)", "def test_x()").replace("htp_export", "id")}
    )
    pruned = example.run_pytest("--htp-prune", "-k", "nothing", report=False)
    assert len(pruned.deleted_files) == 2, "variants are pruned with their test"
