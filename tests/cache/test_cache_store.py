"""The store alone: what is put in comes out, or is not there; nothing else ever comes out."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.cache.store import Broken, Store, checked_names
from pytest_htp.errors import HTPUsageError

KEY, OTHER = "ab" * 32, "cd" * 32
LIMIT = 10**6


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", LIMIT)


def entry_file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "1" / "entries" / "ab" / f"{KEY}.json"


def test_an_entry_comes_back(store: Store) -> None:
    store.write("entries", KEY, {"files": {}, "text": "naïve \udc80"[:6]})
    assert store.read("entries", KEY) == {"files": {}, "text": "naïve ", "key": KEY}
    assert store.read("entries", OTHER) is None
    assert store.read("last", KEY) is None, "kinds are apart"


@pytest.mark.parametrize("name", ["export", 'with "quotes"', "with \\ and ü", "\udcff"])
def test_an_entry_is_read_for_another_folder(store: Store, tmp_path: Path, name: str) -> None:
    made, here = tmp_path / name, tmp_path / f"here {name}"
    value = {str(made): [f"{made}/model.onnx", "\\u0000folder\\u0000"]}
    store.write("entries", KEY, {"export": value}, made)
    content = entry_file(tmp_path).read_text("utf-8")
    assert str(tmp_path) not in content
    found = store.read("entries", KEY, here)
    assert found == {"export": {str(here): [f"{here}/model.onnx", "\\u0000folder\\u0000"]}, "key": KEY}


def test_what_is_there_already_is_not_written_again(store: Store, tmp_path: Path) -> None:
    store.write("entries", KEY, {"text": "one"})
    written = entry_file(tmp_path).stat()
    os.utime(entry_file(tmp_path), (1, 1))
    store.write("entries", KEY, {"text": "one"})
    again = entry_file(tmp_path).stat()
    assert (again.st_ino, again.st_mtime > 1) == (written.st_ino, True), "but it was used just now"
    store.write("entries", KEY, {"text": "two"})
    assert store.read("entries", KEY) == {"text": "two", "key": KEY}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON"),
        (b'{"key": "a', "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"\x80\x04K\x01.", "is no JSON"),
        (b"[]", "is not what its name says"),
        (json.dumps({"key": OTHER}).encode(), "is not what its name says"),
    ],
)
def test_a_damaged_or_foreign_entry_is_told(store: Store, tmp_path: Path, content: bytes, words: str) -> None:
    store.write("entries", KEY, {})
    entry_file(tmp_path).write_bytes(content)
    with pytest.raises(Broken, match=words):
        store.read("entries", KEY)


def test_a_link_in_place_of_an_entry_or_a_file_is_not_followed(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"key": KEY}))
    entry_file(tmp_path).parent.mkdir(parents=True)
    entry_file(tmp_path).symlink_to(secret)
    with pytest.raises(Broken, match="can't be read"):
        store.read("entries", KEY)
    described = store.add_file(secret)
    kept = tmp_path / "cache" / "1" / "files" / described[0][:2] / described[0]
    kept.unlink()
    kept.symlink_to(secret)
    with pytest.raises(Broken, match="no regular file"):
        store.copy_file(described, tmp_path / "out")


@given(content=st.binary(max_size=3000))
def test_a_file_comes_back_by_content(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder / "cache", LIMIT)
    (folder / "in").write_bytes(content)
    described = store.add_file(folder / "in")
    assert described == [hashlib.sha256(content).hexdigest(), len(content)]
    assert store.add_file(content) == described
    store.copy_file(described, folder / "deep" / "out")
    assert (folder / "deep" / "out").read_bytes() == content


def test_a_file_that_is_damaged_or_gone_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"weights")
    described = store.add_file(tmp_path / "in")
    kept = tmp_path / "cache" / "1" / "files" / described[0][:2] / described[0]
    kept.write_bytes(b"weighty")
    with pytest.raises(Broken, match="is damaged"):
        store.copy_file(described, tmp_path / "out")
    store.add_file(tmp_path / "in")
    store.copy_file(described, tmp_path / "out")
    kept.unlink()
    with pytest.raises(Broken, match="can't be read"):
        store.copy_file(described, tmp_path / "out")


@pytest.mark.parametrize("described", [None, [], ["ab", 1], ["../" * 22, 1], [KEY, "1"], [KEY, 1, 2], {"a": 1}])
def test_only_a_digest_names_a_file(store: Store, tmp_path: Path, described: object) -> None:
    with pytest.raises(Broken, match="names no file"):
        store.copy_file(described, tmp_path / "out")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a//b", "", "a\\b", "a/", "né", 3])
def test_a_name_that_leads_elsewhere_is_refused(name: object) -> None:
    with pytest.raises(Broken, match="outside of its folder"):
        checked_names({name: [KEY, 1]})


def test_names_inside_of_the_folder_are_taken() -> None:
    files = {"model.onnx": [KEY, 1], "stages/fp16/model.onnx.data": [KEY, 1]}
    assert checked_names(files) is files
    for wrong in (None, [], {f"{number}": [] for number in range(101)}):
        with pytest.raises(Broken, match="names no files"):
            checked_names(wrong)


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", 1000)
    described = []
    for number in range(3):
        described.append(store.add_file(bytes([number]) * 300))
        kept = tmp_path / "cache" / "1" / "files" / described[-1][0][:2] / described[-1][0]
        os.utime(kept, (number, number))
    store.copy_file(described[0], tmp_path / "out")  # used just now
    again = Store(tmp_path / "cache", 1000)
    again.add_file(b"x" * 300)
    files = [path for path in (tmp_path / "cache" / "1" / "files").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 1000
    again.copy_file(described[0], tmp_path / "out")
    with pytest.raises(Broken):
        again.copy_file(described[1], tmp_path / "out")


def test_what_is_larger_than_the_whole_cache_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", 10)
    with pytest.raises(HTPUsageError, match="larger than the whole cache"):
        store.add_file(b"x" * 11)


def test_nothing_half_written_is_left(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        store.write("entries", KEY, {})
    assert not [path for path in (tmp_path / "cache" / "1").rglob("*") if path.is_file()]
