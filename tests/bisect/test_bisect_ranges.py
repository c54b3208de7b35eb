"""Ranges and the versions between their ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from pytest_htp.bisect.ranges import offered_by_wheels, parse_range, row_of
from pytest_htp.errors import HTPUsageError


def versions(text: str) -> list[Version]:
    return [Version(part) for part in text.split()]


def row(asked: str, offered: str, installed: str | None = None, pre: bool = False) -> str:
    found = row_of(parse_range(asked), versions(offered), Version(installed) if installed else None, pre=pre)
    return " ".join(map(str, found.versions))


def test_a_range_is_a_package_and_two_versions() -> None:
    found = parse_range("Onnx_Script==0.6.0..0.7.3.dev1")
    assert (found.name, str(found.good), str(found.bad)) == ("onnx-script", "0.6.0", "0.7.3.dev1")


@pytest.mark.parametrize(
    "text", ["torch", "torch==2", "torch==2..", "torch==..3", "torch>=2..3", "torch==a..b", "==1..2"]
)
def test_what_is_no_range_is_told(text: str) -> None:
    with pytest.raises(HTPUsageError, match=r"is no range of versions; give it like torch==2\.12\.0\.\.2\.13\.0"):
        parse_range(text)


@pytest.mark.parametrize("text", ["torch==2.13..2.13", "torch==2.13..2.13.0", "torch==2.13.0..2.13.0+cpu"])
def test_ends_that_agree_are_told(text: str) -> None:
    with pytest.raises(HTPUsageError, match="the ends agree"):
        parse_range(text)


def test_versions_lie_between_the_ends() -> None:
    offered = "1.0 1.2 1.10 1.3 0.9 2.0 1.5rc1 1.4.dev3"
    assert row("p==1.0..2.0", offered) == "1.0 1.2 1.3 1.10 2.0"
    assert row("p==2.0..1.2", offered) == "2.0 1.10 1.3 1.2", "an older version may be the bad one"
    assert row("p==1.2..1.10", offered, pre=True) == "1.2 1.3 1.4.dev3 1.5rc1 1.10"
    assert row("p==1.2..1.5rc1", offered) == "1.2 1.3 1.4.dev3 1.5rc1", "an end that is a pre-release brings others"


def test_the_installed_version_is_there_whatever_is_offered() -> None:
    assert row("p==1.0..1.5", "1.0 1.1", installed="1.5") == "1.0 1.1 1.5"


def test_of_builds_of_a_version_the_installed_kind_counts() -> None:
    offered = "2.12.0 2.12.0+cpu 2.12.1 2.13.0 2.13.0+cu130"
    assert row("torch==2.12.0..2.13.0", offered, installed="2.13.0+cpu") == "2.12.0+cpu 2.12.1 2.13.0+cpu"
    assert row("torch==2.12.0..2.13.0", offered, installed="2.13.0") == "2.12.0 2.12.1 2.13.0"
    assert row("torch==2.12.0..2.13.0", offered) == "2.12.0 2.12.1 2.13.0"


def test_a_version_that_does_not_exist_is_told_with_its_neighbours() -> None:
    with pytest.raises(HTPUsageError, match=r"p==1\.4 can't be had here; near it there are: 1\.1, 1\.2, 1\.3, 1\.5$"):
        row("p==1.0..1.4", "1.0 1.1 1.2 1.3 1.5")
    with pytest.raises(HTPUsageError, match="no version of p can be had here"):
        row("p==1.0..1.4", "")


def test_wheels_that_fit_this_machine_are_offered(tmp_path: Path) -> None:
    for name in (
        "tiny_net-1.0-py3-none-any.whl",
        "tiny_net-1.1-py3-none-any.whl",
        "tiny_net-1.2-cp27-cp27m-win32.whl",
        "other-3.0-py3-none-any.whl",
        "tiny_net-nonsense.whl",
        "tiny_net-1.3.tar.gz",
    ):
        (tmp_path / name).touch()
    assert sorted(map(str, offered_by_wheels("tiny-net", tmp_path))) == ["1.0", "1.1"]
    with pytest.raises(HTPUsageError, match="is no folder"):
        offered_by_wheels("tiny-net", tmp_path / "nothing")
