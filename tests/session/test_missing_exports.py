"""export.missing: a test has a baseline for an export that it did not make."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import recorded

from pytest_htp.testing import Example

TWO = """
import pytest
from net import X, make

def test_net(htp_export):
    htp_export(make(4), X, parity=False, name="encoder")
    htp_export(make(5), X, parity=False, name="decoder")

def test_other(htp_export):
    htp_export(make(6), X, parity=False)
"""
DECODER = '    htp_export(make(5), X, parity=False, name="decoder")\n'
ENCODER = '    htp_export(make(4), X, parity=False, name="encoder")\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Example:
    example = recorded(tmp_path_factory.mktemp("missing"), TWO)
    assert len(example.baselines) == 3
    return example


@pytest.fixture
def example(made: Example, tmp_path: Path) -> Example:
    return Example(made.files, folder=tmp_path)


def decoder(example: Example) -> str:
    (path,) = [path for path in example.baseline_paths if "decoder" in path]
    return path


def test_a_baseline_says_whose_it_is(example: Example) -> None:
    said = {(baseline["test"], baseline["export"]) for baseline in example.baselines.values()}
    assert said == {("test_net", "encoder"), ("test_net", "decoder"), ("test_other", "")}


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_an_export_that_is_no_longer_made_fails_its_test(example: Example, options: tuple[str, ...]) -> None:
    example.replace("test_net.py", DECODER, "    if make is None:\n    " + DECODER)
    run = example.run_pytest(*options, outcomes={"passed": 1, "failed": 1})
    assert run.touched_files == []
    (finding,) = run.findings
    assert (finding["code"], finding["verdict"], finding["module"], finding["stage"]) == (
        "export.missing",
        "regression",
        None,
        None,
    )
    assert finding["before"] == "decoder"
    (entry,) = [export for export in run.exports if export["findings"]]
    assert entry["name"] == "test_net [decoder]"
    assert entry["baseline_status"] == "no export"
    assert entry["commands"]["accept"].endswith("test_net.py::test_net --htp-prune")
    assert "that it did not make" in run.stdout
    assert "no longer makes an export that has a baseline; if that is right, delete it with" in run.stdout


def test_the_printed_command_deletes_that_baseline_and_no_other(example: Example) -> None:
    path = decoder(example)
    example.replace("test_net.py", DECODER, "")
    pruned = example.run_pytest("test_net.py::test_net", "--htp-prune", outcomes={"passed": 1})
    assert pruned.touched_files == [path]
    assert f"deleted {path}: its test no longer makes that export" in pruned.stdout
    assert pruned.codes == set()
    example.run_pytest(outcomes={"passed": 2})


def test_updating_deletes_nothing_and_says_what_does(example: Example) -> None:
    path = decoder(example)
    example.replace("test_net.py", DECODER, "")
    updated = example.run_pytest("--snapshot-update", outcomes={"passed": 2})
    assert updated.touched_files == []
    assert f"{path}: its test no longer makes that export; delete it with --htp-prune" in updated.stdout


def test_a_test_that_makes_none_any_more_is_found_too(example: Example) -> None:
    example.replace("test_net.py", ENCODER, "    return\n" + ENCODER)
    run = example.run_pytest(outcomes={"passed": 1, "failed": 1})
    assert [finding["before"] for finding in run.findings] == ["decoder", "encoder"]


@pytest.mark.parametrize(
    "body",
    [
        "    pytest.skip('not here')\n",
        "    pytest.xfail('not yet')\n",
        "    assert make is None\n",
    ],
    ids=["skipped", "xfailed", "failed"],
)
def test_a_test_that_did_not_come_to_its_end_says_nothing(example: Example, body: str) -> None:
    example.replace("test_net.py", DECODER, body + DECODER)
    run = example.run_pytest("--htp-prune")
    assert run.codes == set()
    assert run.touched_files == []


def test_what_compares_with_nothing_is_made_all_the_same(example: Example) -> None:
    example.replace("test_net.py", DECODER, DECODER.replace("parity=False", "parity=False, baseline=False"))
    assert example.run_pytest(outcomes={"passed": 2}).codes == set()


def test_the_policy_decides(example: Example) -> None:
    example.replace("test_net.py", DECODER, "")
    example.write({"pytest.ini": "[pytest]\nhtp_policy = export.missing:ignore\n"})
    assert example.run_pytest(outcomes={"passed": 2}).codes == set()
