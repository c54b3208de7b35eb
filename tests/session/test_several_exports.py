"""Several exports in one test, and names that are hard on file systems."""

from __future__ import annotations

from pathlib import Path

from htp_examples import change_the_model, project, recorded

SEVERAL = """
from net import X, make

def test_net(htp_export):
    htp_export(make(4), X, parity=False)
    htp_export(make(5), X, parity=False)
    htp_export(make(6), X, parity=False, name="wide/one")
"""


def test_all_findings_of_a_test_are_reported_together(tmp_path: Path) -> None:
    example = recorded(tmp_path, SEVERAL)
    slugs = sorted(path.rsplit("/", 1)[1][: -len("-01234567.json")] for path in example.baseline_paths)
    assert slugs == ["test_net", "test_net-2", "test_net-wide-one"]
    change_the_model(example)
    run = example.run_pytest(outcomes={"failed": 1})
    assert len(run.exports) == 3
    for name in ("test_net:", "test_net [2]:", "test_net [wide/one]:"):
        assert f"{name} drift" in run.stdout
    accepted = example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert len(accepted.changed_files) == 3


def test_one_bad_export_keeps_a_test_from_writing_the_others(tmp_path: Path) -> None:
    test = SEVERAL.replace("make(5), X, parity=False", "Half(), X, parity=False, min_coverage=90")
    example = project(tmp_path, test.replace("import X, make", "import Half, X, make"))
    run = example.run_pytest("--snapshot-update", outcomes={"failed": 1})
    assert run.touched_files == []
    assert run.codes == {"coverage.dropped"}


def test_names_that_are_hard_on_file_systems(tmp_path: Path) -> None:
    test = """
import pytest
from net import X, make

NAMES = ["org/model", "org-model", "ORG/model", "../../up", "a" * 5000, "a" * 4999 + "b"]
NAMES += ["模型", "", "con", "a b\\tc"]

@pytest.mark.parametrize("name", NAMES, ids=lambda name: name or "empty")
def test_hub(htp_export, name):
    htp_export(make, X, parity=False)

class TestHub:
    @pytest.mark.parametrize("name", ["org/model"])
    def test_hub(self, htp_export, name):
        htp_export(make, X, parity=False)
"""
    example = project(tmp_path, test)
    made = example.run_pytest("--snapshot-update", outcomes={"passed": 11})
    assert len(made.created_files) == 11
    folders = {Path(name).parent.as_posix() for name in made.created_files}
    assert folders == {"__htp_baselines__/test_net"}
    assert len({name.lower() for name in made.created_files}) == 11
    assert max(len(Path(name).name) for name in made.created_files) < 120
    kept = example.run_pytest("--htp-prune", outcomes={"passed": 11})
    assert kept.touched_files == []
    assert len({export["artifacts"] for export in kept.exports}) == 11


def test_a_number_given_as_a_name_is_passed_over(tmp_path: Path) -> None:
    test = SEVERAL.replace("make(4), X, parity=False", 'make(4), X, parity=False, name="2"')
    run = project(tmp_path, test).run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert {export["name"] for export in run.exports} == {"test_net [2]", "test_net [3]", "test_net [wide/one]"}


MAKES_FOLDERS = """
import pytest
from net import X, make

@pytest.mark.parametrize("width", (4, 5))
def test_net(htp_export, tmp_path_factory, width):
    tmp_path_factory.mktemp("htp")
    htp_export(make(width), X, parity=False)
    tmp_path_factory.mktemp("htp")
"""


def test_folders_of_the_same_name_are_left_alone(tmp_path: Path) -> None:
    example = project(tmp_path, MAKES_FOLDERS)
    example.run_pytest("--snapshot-update", report=False, outcomes={"passed": 2})
    folders = sorted(path.name for path in (example.folder.parent / "basetemp").glob("htp?"))
    assert folders == [f"htp{number}" for number in range(6)]
