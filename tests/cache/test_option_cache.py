"""``--htp-cache``: what has not changed is not exported again; anything that has is."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from htp_examples import NET, project

from pytest_htp.cache.store import Store
from pytest_htp.testing import Example, Run

TEST = """
import onnx_ir as ir
from net import X, make

def test_net(htp_export):
    export = htp_export(make(), X)
    assert ir.load(export.onnx_path).graph.num_nodes() == export.record["graph"]["nodes"]
    assert export.program.graph.num_nodes() == export.record["graph"]["nodes"]
    assert str(export.onnx_path) == export.data.output_path
    assert all(path.is_file() for path in (export.metadata_path, export.report_path, export.console_path))

def test_wide(htp_export):
    export = htp_export(lambda: make(6), X)
    assert export.parity.outputs[0].max_abs < 1e-5
    assert export.parity.measured and not export.parity.failed
"""


def cached(run: Run) -> dict[str, bool]:
    return {export["name"]: export["cached"] for export in run.exports}


def notes(run: Run) -> dict[str, str]:
    return {export["name"]: export["cache_note"] for export in run.exports}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a project with baselines and a filled cache."""
    example = project(tmp_path_factory.mktemp("filled"), TEST)
    run = example.run_pytest("--snapshot-update", "--htp-cache", "-v", outcomes={"passed": 2})
    assert set(cached(run).values()) == {False}
    assert "htp: cache: test_net: miss: not seen before" in run.stdout
    return {path.relative_to(example.folder).as_posix(): path.read_bytes() for path in _files(example.folder)}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@pytest.fixture
def example(filled: dict[str, bytes], tmp_path: Path) -> Example:
    """That project in another folder: nothing of the key is bound to a place."""
    return Example(filled, folder=tmp_path / "elsewhere")


def test_nothing_changed(example: Example) -> None:
    run = example.run_pytest("--htp-cache", outcomes={"passed": 2})
    assert set(cached(run).values()) == {True}
    assert {export["verdict"] for export in run.exports} == {"unchanged"}
    assert "2 exports: 2 unchanged (2 cached)" in run.stdout
    assert "Taken from the cache." in example.read("htp-report/index.html")
    assert "cached" in example.read("htp-report/summary.md")


def test_the_report_gets_the_files_of_the_run_that_filled_the_cache(example: Example, filled: dict[str, bytes]) -> None:
    run = example.run_pytest("--htp-cache", outcomes={"passed": 2})
    for export in run.exports:
        for name in ("model.onnx", "baseline.json", "model_htp_metadata.json"):
            file = f"htp-report/{export['artifacts']}/{name}"
            assert example.folder.joinpath(file).read_bytes() == filled[file]
    graph = onnx.load(example.folder / "htp-report" / run.exports[0]["artifacts"] / "model.onnx").graph
    assert not any(tensor.raw_data for tensor in graph.initializer if tensor.name.endswith("weight"))


def test_the_exporter_is_not_imported_for_what_is_in_the_cache(tmp_path: Path) -> None:
    heavy = [
        "onnx_ir",
        "sympy",
        "pytest_htp.exporter.exporter",
        "pytest_htp.exporter.save",
        "pytest_htp.monitor.monitor",
    ]
    conftest = f"""
import sys
def pytest_unconfigure():
    print("imported:", [name for name in {heavy} if name in sys.modules])
"""
    example = project(tmp_path, conftest=conftest)
    run = example.run_pytest("--snapshot-update", "--htp-cache", subprocess=True, outcomes={"passed": 1})
    assert f"imported: {heavy}" in run.stdout
    run = example.run_pytest("--htp-cache", subprocess=True, outcomes={"passed": 1})
    assert set(cached(run).values()) == {True}
    assert "imported: []" in run.stdout


def test_comments_and_other_functions_change_nothing(example: Example) -> None:
    example.replace("net.py", "class Net", "# a comment\n\ndef other():\n    return 1\n\n\nclass Net")
    example.replace(
        "net.py",
        "    def forward(self, x):\n        return self.last",
        "    def forward(self, x):\n        # said\n        return self.last",
    )
    run = example.run_pytest("--htp-cache", outcomes={"passed": 2})
    assert set(cached(run).values()) == {True}


def test_a_finding_names_the_line_of_today(example: Example) -> None:
    baseline = next((example.folder / "__htp_baselines__").rglob("test_net-*.json"))
    record = json.loads(baseline.read_text())
    for row in record["modules"]:
        row["ops"] = {("Relu" if name == "Gelu" else name): count for name, count in row["ops"].items()}
        row["fingerprint"] = (
            "0" * len(row["fingerprint"]) if row["fingerprint"] and "Relu" in row["ops"] else row["fingerprint"]
        )
    baseline.write_text(json.dumps(record))
    before = example.run_pytest("--htp-cache", "--htp-fail-on=improvement", outcomes={"passed": 1, "failed": 1})
    line = next(
        number for number, text in enumerate(example.read("net.py").splitlines(), 1) if "return self.last(" in text
    )
    assert f"net.py:{line}" in before.stdout
    example.write({"net.py": "# one line more\n" + example.read("net.py")})
    after = example.run_pytest("--htp-cache", "--htp-fail-on=improvement", outcomes={"passed": 1, "failed": 1})
    assert set(cached(after).values()) == {True}
    assert f"net.py:{line + 1}" in after.stdout


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("self.last(self.act(", "self.last(2 * self.act(", "net.py changed"),
        ("manual_seed(0)", "manual_seed(1)", "weights or buffers changed"),
        ("nn.GELU()", 'nn.GELU("tanh")', "the model's structure or attributes changed"),
        ("X = torch.ones(2, 3)", "X = torch.zeros(2, 3)", "inputs changed"),
    ],
)
def test_a_miss_says_why(example: Example, old: str, new: str, said: str) -> None:
    example.replace("net.py", old, new)
    run = example.run_pytest("--htp-cache", "-v", "--htp-fail-on=breaking")
    assert cached(run)["test_net"] is False
    assert said in notes(run)["test_net"]
    assert f"htp: cache: test_net: {notes(run)['test_net']}" in run.stdout


def test_a_patch_of_a_library_is_told(example: Example) -> None:
    patch = "import pytest, torch\n@pytest.fixture(autouse=True)\ndef patched(monkeypatch):\n    monkeypatch.setattr"
    example.write({"conftest.py": f"{patch}(torch.nn.GELU, 'forward', torch.nn.Sigmoid.forward)\n"})
    run = example.run_pytest("--htp-cache", "-v", "--htp-fail-on=breaking")
    assert "activation.py changed" in notes(run)["test_net"]
    example.write({"conftest.py": f"{patch}(torch.onnx, 'is_in_onnx_export', lambda: True)\n"})
    run = example.run_pytest("--htp-cache", "-v", "--htp-fail-on=breaking")
    assert "patched torch.onnx.is_in_onnx_export is new" in notes(run)["test_net"]


def test_the_ini_file_names_the_folder(tmp_path: Path) -> None:
    example = project(tmp_path, TEST)
    example.write({"pytest.ini": "[pytest]\nhtp_cache = kept\n"})
    example.run_pytest("--snapshot-update", "-n2", outcomes={"passed": 2})
    assert (example.folder / "kept/.gitignore").is_file()
    assert set(cached(example.run_pytest("-n2", outcomes={"passed": 2})).values()) == {True}


def test_verify_exports_and_agrees(example: Example) -> None:
    run = example.run_pytest("--htp-cache-verify", outcomes={"passed": 2})
    assert set(cached(run).values()) == {False}


def test_verify_fails_where_the_cache_tells_another_story(example: Example) -> None:
    for entry in (example.folder / ".htp-cache/1/entries").rglob("*.json"):
        entry.write_text(entry.read_text().replace('"Gelu"', '"Relu"'))
    run = example.run_pytest("--htp-cache-verify", outcomes={"failed": 2})
    assert "the cache would have told another story (record, sources differ; of the record: modules)" in run.stdout
    assert {export["outcome"] for export in run.exports} == {"failed"}


@pytest.mark.parametrize(
    "damage", ["cut", "json", "foreign", "lost", "traversal", "fields", "structures", "graph", "edition"]
)
def test_what_is_damaged_is_a_miss_with_one_line(example: Example, damage: str) -> None:
    store = example.folder / ".htp-cache/1"
    for entry in (store / "entries").rglob("*.json"):
        value = json.loads(entry.read_text())
        if damage == "json":
            entry.write_text("[" * 100_000)
        elif damage == "foreign":
            entry.write_text('{"key": "another"}')
        elif damage == "traversal":
            entry.write_text(json.dumps({**value, "files": {"../../x": next(iter(value["files"].values()))}}))
        elif damage == "fields":
            entry.write_text(json.dumps({**value, "export": {**value["export"], "surprise": 1}}))
        elif damage == "structures":
            entry.write_text(json.dumps({**value, "structures": {}}))
        elif damage == "graph":
            kept = Store(store.parent, 10**9).add_file(b"no protobuf")
            entry.write_text(json.dumps({**value, "files": {**value["files"], "model.onnx": kept}}))
    for file in (store / "files").rglob("*/*"):
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:-1])
        elif damage == "lost":
            file.unlink()
    if damage == "edition":
        store.rename(store.with_name("0"))
    run = example.run_pytest("--htp-cache", outcomes={"passed": 2})
    assert set(cached(run).values()) == {False}
    assert run.stdout.count("note: cache .htp-cache:") == 1
    again = example.run_pytest("--htp-cache", outcomes={"passed": 2})
    assert set(cached(again).values()) == {True}


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    example = project(tmp_path, TEST)
    (example.folder / "cache").mkdir()
    (example.folder / "cache" / "1").write_text("a file is in the way")
    run = example.run_pytest("--snapshot-update", "--htp-cache=cache", "-n2", outcomes={"passed": 2})
    assert run.stdout.count("note: cache cache: nothing can be kept in it") == 1


def test_what_cannot_be_told_is_not_kept(tmp_path: Path) -> None:
    example = project(tmp_path, TEST)
    example.write(
        {
            "net.py": NET.replace(
                "def forward(self, x):\n        return self.last",
                "def forward(self, x):\n        import time\n        time.time()\n        return self.last",
            )
        }
    )
    for _ in range(2):
        run = example.run_pytest("--snapshot-update", "--htp-cache", outcomes={"passed": 2})
        assert notes(run)["test_net"] == "not kept: Net.forward in net.py reads the clock"


def test_what_only_an_export_imports_changes_no_request(tmp_path: Path) -> None:
    net = NET.replace(
        "def forward(self, x):\n        return self.last",
        "def forward(self, x):\n        from onnx_ir import Model\n        return self.last",
    )
    example = project(tmp_path, TEST.replace("import onnx_ir as ir\n", "").replace("    assert ir.load", "    # "))
    example.write({"net.py": net})
    example.run_pytest("--snapshot-update", "--htp-cache", subprocess=True, outcomes={"passed": 2})
    run = example.run_pytest("--htp-cache", "-k", "wide", subprocess=True, outcomes={"passed": 1, "deselected": 1})
    assert set(cached(run).values()) == {True}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("htp_cache_size = much", "htp_cache_size must be a size like 500M or 10G, got 'much'"),
        ("htp_cache = net.py", "--htp-cache: net.py is a file; give a folder: --htp-cache=DIR"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, option: str, message: str) -> None:
    example = project(tmp_path, TEST)
    example.write({"pytest.ini": f"[pytest]\n{option}\n"})
    run = example.run_pytest()
    assert run.returncode == 4
    assert message in run.stderr
