"""A manifest is checked as far as possible without torch, and each message names the line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_htp import HTPUsageError
from pytest_htp.manifest.keys import GATES, KEYS, OPTIONS
from pytest_htp.manifest.lines import Lines
from pytest_htp.manifest.parse import ManifestExport, read_manifest

GOOD = '[export.a]\nmodel = "bert"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one model, ``bert``, and one module, ``zoo``."""
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "zoo.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    return tmp_path


def read(folder: Path, text: str) -> list[ManifestExport]:
    file = folder / "models.htp.toml"
    file.write_text(text, encoding="utf-8")
    return read_manifest(file, "models.htp.toml")


def test_every_key(folder: Path) -> None:
    [export] = read(
        folder,
        """
[export.bert]  # the smallest one
model = "bert"
weights = "none"
dynamic = true
opset_version = 20
exporter = "torch"
optimize = false
min_coverage = 95.5
fail_on = "breaking"
seed = 7
rtol = 1e-3
marks = ["slow", "gpu"]
generation = false

[export.bert.inputs]
input_ids = "int64[batch=2, seq=16]"
attention_mask = "int64[batch, seq=16]"
use_cache = false
""",
    )
    assert (export.name, export.line, export.marks, export.generation) == ("bert", 2, ("slow", "gpu"), False)
    assert export.model.load() == folder / "bert"
    assert export.inputs == {
        "input_ids": "int64[batch=2, seq=16]",
        "attention_mask": "int64[batch, seq=16]",
        "use_cache": False,
    }
    assert export.options == {
        "weights": "none", "dynamic": True, "opset_version": 20, "exporter": "torch", "optimize": False,
        "min_coverage": 95.5, "fail_on": "breaking", "seed": 7, "rtol": 0.001,
    }  # fmt: skip


def test_input_sets(folder: Path) -> None:
    [export] = read(
        folder, GOOD + 'calibration = [{ x = [[0.5]] }, { x = [[2.0]] }]\nparity_inputs = [{ x = "float32[3]" }]'
    )
    assert export.options == {
        "calibration": [{"x": [[0.5]]}, {"x": [[2.0]]}], "parity_inputs": [{"x": "float32[3]"}],
    }  # fmt: skip


def test_three_lines_are_enough(folder: Path) -> None:
    [export] = read(folder, '[export."org/bert-tiny.v2"]\nmodel = "bert"\n')
    assert (export.name, export.inputs, export.options) == ("org/bert-tiny.v2", None, {})


def test_matrix(folder: Path) -> None:
    exports = read(
        folder,
        """[export.m]
model = "zoo:make"
seed = 3
[export.m.matrix]
opset_version = [18, 20]
dynamic = [true, false]
""",
    )
    assert [export.name for export in exports] == [
        "m[opset_version=18-dynamic=True]",
        "m[opset_version=18-dynamic=False]",
        "m[opset_version=20-dynamic=True]",
        "m[opset_version=20-dynamic=False]",
    ]
    assert exports[1].options == {"seed": 3, "opset_version": 18, "dynamic": False}
    assert {export.line for export in exports} == {1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "opset = 18", ":3: export.a has an unknown key 'opset', did you mean 'opset_version'?"),
        (
            GOOD + '"opset\x7f" = 18'.replace("\x7f", "\\u001b"),
            ":3: export.a has an unknown key 'opset\\x1b'",
        ),
        (GOOD + 'dynamic = "yes"', ":3: dynamic must be true or false, got 'yes'"),
        (GOOD + "opset_version = true", ":3: opset_version must be a whole number from 7 to 100, got"),
        (GOOD + "min_coverage = 101", ":3: min_coverage must be a percentage from 0 to 100, got 101"),
        (GOOD + 'fail_on = "unchanged"', ":3: fail_on must be one of breaking, regression, drift,"),
        (GOOD + 'weights = "fake"', ":3: weights must be one of real, none, got 'fake'"),
        (GOOD + "rtol = nan", ":3: rtol must be a number of at least 0, got nan"),
        (GOOD + 'marks = "slow"', ":3: marks must be a list of names, got 'slow'"),
        (GOOD + 'inputs = "int64[2]"', ":3: inputs must be a table, got 'int64[2]'"),
        (GOOD + '\n[export.a.inputs]\nx = "int65[2]"', ":5: input 'x': bad input description 'int65[2]', at"),
        (
            GOOD + "[export.a.inputs]\nx = [[1, 2], [3]]",
            ":4: input 'x' must be an array of numbers whose rows are equally long",
        ),
        (GOOD + "calibration = { x = [1.0] }", ":3: calibration must be a list of tables, each like inputs, got {"),
        (GOOD + "calibration = []", ":3: calibration must be a list of tables, each like inputs, got []"),
        (GOOD + 'parity_inputs = [{ x = "int65[2]" }]', ":3: input 'x': bad input description 'int65[2]', at"),
        (
            GOOD + "[[export.a.calibration]]\nx = [[1, 2], [3]]",
            ":4: input 'x' must be an array of numbers whose rows are equally long",
        ),
        (
            GOOD + "[export.a.matrix]\nseeds = [1]",
            ":4: matrix has an unknown option 'seeds', did you mean 'seed'?",
        ),
        (
            GOOD + "seed = 1\n[export.a.matrix]\nseed = [1]",
            ":5: seed stands in the matrix and beside it: keep one",
        ),
        (GOOD + "[export.a.matrix]\nseed = []", ":4: matrix.seed must be a list of values, got []"),
        (GOOD + "[export.a.matrix]\nseed = [1, 1]", ":4: matrix.seed has a value twice: [1, 1]"),
        (
            GOOD + '[export.a.matrix]\ndynamic = [true, "no"]',
            ":4: each value of matrix.dynamic must be true or false, got 'no'",
        ),
        (GOOD + "[export.a.matrix]", ":3: matrix has no options: give each a list of values"),
        (
            GOOD + f"[export.a.matrix]\nseed = {list(range(1001))}",
            ":3: matrix gives 1,001 tests, at most 1,000",
        ),
        ("[export.a]\nweights = 'none'", ":1: export.a has no model: a saved model's folder, or"),
        (
            '[export.a]\nmodel = "brt"',
            ":2: model 'brt': no such folder, did you mean 'bert'?; give the folder",
        ),
        ('[export.a]\nmodel = "zoo.py"', ":2: model 'zoo.py': a file, not a folder; give the folder"),
        ('[export.a]\nmodel = "."', ":2: model '.': no config.json in that folder; give the folder"),
        ('[export.a]\nmodel = "zo:make"', ":2: model 'zo:make': there is no module 'zo', neither"),
        (GOOD + 'reference = "brt"', ":3: reference 'brt': no such folder, did you mean 'bert'?; give the folder"),
        ('[export."a::b"]\nmodel = "bert"', ":1: the export name 'a::b' can't be part of a test's id"),
        ("[exports.a]\nmodel = 'bert'", ":1: unknown table or key 'exports', did you mean 'export'?"),
        ("export = 3", ":1: no [export.NAME] table: each of them is one test"),
        ("\nexport.a = 3", ":2: export.a must be a table, got 3"),
        ("", ":1: no [export.NAME] table: each of them is one test"),
        (GOOD + "seed = \n", ":3: not valid TOML: Invalid value"),
        (GOOD + 'weights = """', ":3: not valid TOML: "),
        ("a = " + "[" * 50_000, ":1: not valid TOML: "),
    ],
)
def test_what_is_wrong_and_where(folder: Path, text: str, message: str) -> None:
    with pytest.raises(HTPUsageError) as caught:
        read(folder, text)
    assert str(caught.value).startswith(f"models.htp.toml{message}")


def test_all_problems_at_once_in_the_order_of_the_file(folder: Path) -> None:
    with pytest.raises(HTPUsageError) as caught:
        read(folder, '[export.a]\nmodel = "brt"\n[export.b]\nmodel = "bert"\nseed = "x"\n[export.c]\nsed = 1\n')
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "5", "6", "7"]


def test_unreadable_files(folder: Path) -> None:
    file = folder / "models.htp.toml"
    file.write_bytes(b"\n\n\xff")
    with pytest.raises(HTPUsageError, match=r"models\.htp\.toml:3: not UTF-8"):
        read_manifest(file, "models.htp.toml")
    file.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(HTPUsageError, match=r"1,048,577 bytes are too many for a manifest"):
        read_manifest(file, "models.htp.toml")
    with pytest.raises(HTPUsageError, match=r"nosuch: can't be read: "):
        read_manifest(folder / "nosuch", "nosuch")


def test_lines_of_keys_however_they_are_written() -> None:
    lines = Lines('a.b = 1\n[ x . "y.z" ] # c\n"k k" = 1\n\'l\'.m = 2\n[x."y.z".t]\nn = { o = 1 }\n[[list]]\n')
    assert lines.of(["a", "b"]) == 1
    assert lines.of(["x", "y.z"]) == 2
    assert lines.of(["x", "y.z", "k k"]) == 3
    assert lines.of(["x", "y.z", "l", "m"]) == 4
    assert lines.of(["x", "y.z", "t", "n", "o"]) == 6
    assert lines.of(["nowhere"]) == 1


def test_a_factory_is_imported_only_when_the_model_is_needed(folder: Path) -> None:
    [export] = read(folder, '[export.a]\nmodel = "zoo:make"')
    before = list(sys.path)
    with pytest.raises(HTPUsageError, match=r"model 'zoo:make': importing zoo failed: RuntimeError: imported"):
        export.model.load()
    assert sys.path == before


def test_the_nearest_name_in_the_module(folder: Path) -> None:
    (folder / "garden.py").write_text("class Plants:\n    tree = 5\n", encoding="utf-8")
    first, second = read(folder, '[export.a]\nmodel = "garden:Plants.tree"\n[export.b]\nmodel = "garden:Plant"\n')
    try:
        assert first.model.load() == 5
        with pytest.raises(HTPUsageError, match=r"garden has no 'Plant', did you mean 'Plants'\?"):
            second.model.load()
    finally:
        sys.modules.pop("garden", None)


def test_reading_a_manifest_imports_nothing_heavy(folder: Path) -> None:
    (folder / "models.htp.toml").write_text(GOOD + '[export.a.inputs]\nx = "int64[batch=2]"\n', encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from pytest_htp.manifest.parse import read_manifest;"
        "import pytest_htp.manifest.items; read_manifest(Path('models.htp.toml'), '');"
        "print({'torch', 'transformers', 'onnx', 'onnx_ir', 'rich', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_options_are_those_of_the_exporter() -> None:
    from pytest_htp.exporter.options import ExportOptions

    assert set(OPTIONS) <= set(ExportOptions.known())
    assert {*OPTIONS, *GATES} < set(KEYS)


def test_the_reference_page(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/manifest.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```toml file=models.htp.toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    for name in ("bert", "gpt"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "config.json").write_text("{}", encoding="utf-8")
    assert [export.name for export in read(folder, text)] == [
        "bert",
        *(f"net[opset_version={opset}-dynamic={flag}]" for opset in (18, 20) for flag in (True, False)),
        "gpt",
    ]
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    assert [key for row in rows for key in re.findall(r"`(\w+)`", row)] == [*KEYS]
    [message] = re.findall(r"^```text\n(.*?)…\n```$", page, re.DOTALL | re.MULTILINE)
    with pytest.raises(HTPUsageError) as caught:
        read(folder, '[export.bert]\nmodel = "bert"\nopset = 18\n')
    assert str(caught.value).startswith(message.strip())
