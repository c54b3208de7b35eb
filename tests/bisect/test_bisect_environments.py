"""Environments made by uv, from wheels that the test makes; no torch is loaded in them."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from pytest_htp.bisect.environments import CannotInstallError, environment, find_uv
from pytest_htp.errors import HTPUsageError
from tests.bisect.htp_bisect_parts import wheel


def seen(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_version_asked_for_precedes_and_the_rest_stays(tmp_path: Path) -> None:
    wheel(tmp_path, "htp_tiny", "1.0", "VALUE = 1")
    wheel(tmp_path, "htp_tiny", "2.0", "VALUE = 2")
    wheel(tmp_path, "sortedcontainers", "0.0.1", "VALUE = 'older'")
    pins = {"htp-tiny": Version("2.0"), "sortedcontainers": Version("0.0.1"), "pluggy": Version(version("pluggy"))}
    with environment(pins, find_uv(), tmp_path) as made:
        assert seen(made.python, "import htp_tiny, sortedcontainers as s; print(htp_tiny.VALUE, s.VALUE)") == "2 older"
        assert seen(made.python, "import importlib.metadata as m; print(m.version('msgspec'))") == version("msgspec")
        assert seen(made.python, "import pytest, msgspec, pytest_htp; print(pytest.__version__)") == pytest.__version__
        assert [note for note in made.notes if note.startswith("hypothesis ")] == [
            f"hypothesis {version('hypothesis')} requires sortedcontainers<3.0.0,>=2.1.0, and has 0.0.1"
        ]
    assert not made.python.exists()


def test_requirements_of_a_version_that_are_not_met_are_told(tmp_path: Path) -> None:
    wanted = ("pluggy>=99", "htp-nowhere", "htp-never; python_version<'3'", "htp-more; extra=='more'", "pytest")
    wheel(tmp_path, "htp_tiny", "1.0", requires=wanted)
    with environment({"htp-tiny": Version("1.0")}, find_uv(), tmp_path) as made:
        assert made.notes == (
            f"htp_tiny 1.0 requires pluggy>=99, and has {version('pluggy')}",
            "htp_tiny 1.0 requires htp-nowhere, which is not installed",
        )


def test_requirements_of_a_version_are_installed_with_it(tmp_path: Path) -> None:
    wheel(tmp_path, "htp_tiny", "1.0", requires=("htp-more<2", "numpy>=99"))
    wheel(tmp_path, "htp_more", "1.5", "VALUE = 1", requires=("htp-most",))
    wheel(tmp_path, "htp_more", "1.9rc1", "VALUE = 'not yet'")
    wheel(tmp_path, "htp_more", "2.0")
    wheel(tmp_path, "htp_most", "3.0", "VALUE = 2")
    wheel(tmp_path, "numpy", "99.0")
    with environment({"htp-tiny": Version("1.0")}, find_uv(), tmp_path) as made:
        assert seen(made.python, "import htp_more, htp_most; print(htp_more.VALUE, htp_most.VALUE)") == "1 2"
        assert made.notes == (
            "htp-more<2 was installed as well, which htp_tiny 1.0 requires",
            "htp-most was installed as well, which htp_more 1.5 requires",
            f"htp_tiny 1.0 requires numpy>=99, and has {version('numpy')}",
        )


def test_extras_of_a_requirement_are_installed_with_it(tmp_path: Path) -> None:
    """As torch's CUDA build requires ``cuda-toolkit[cublas,cufile,...]``, a package that is empty but for these."""
    wheel(tmp_path, "htp_tiny", "1.0", requires=("htp-kit[first]",))
    parts = ("htp-first; extra=='first'", "htp-second; extra=='second'")
    wheel(tmp_path, "htp_kit", "2.0", requires=parts)
    wheel(tmp_path, "htp_first", "3.0", "VALUE = 1")
    wheel(tmp_path, "htp_second", "3.0")
    with environment({"htp-tiny": Version("1.0")}, find_uv(), tmp_path) as made:
        assert seen(made.python, "import htp_first; print(htp_first.VALUE)") == "1"
        assert made.notes == (
            "htp-kit was installed as well, which htp_tiny 1.0 requires",
            "htp-first was installed as well, which htp_kit 2.0 requires",
        )


def test_a_version_that_does_not_install_is_told_in_uvs_words(tmp_path: Path) -> None:
    wheel(tmp_path, "htp_tiny", "1.0").write_bytes(b"not a wheel")
    with (
        pytest.raises(CannotInstallError, match=r"htp.tiny|zip|wheel"),
        environment({"htp-tiny": Version("1.0")}, find_uv(), tmp_path),
    ):
        raise AssertionError


def test_a_package_that_something_else_precedes_is_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path, "htp_tiny", "1.0")
    metadata = tmp_path / "elsewhere" / "htp_tiny-9.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: htp_tiny\nVersion: 9.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"), prepend=":")
    with (
        pytest.raises(HTPUsageError, match=r"htp-tiny 1\.0 was installed, but Python finds 9\.0 first"),
        environment({"htp-tiny": Version("1.0")}, find_uv(), tmp_path),
    ):
        raise AssertionError


def test_without_uv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_htp.bisect.environments.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HTPUsageError, match=r"pip install 'pytest-htp\[bisect\]'"):
        find_uv()
