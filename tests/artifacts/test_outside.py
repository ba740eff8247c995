"""Digests of files outside: right, remembered, and never remembered wrongly."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from groundup.artifacts import Digests, outside
from groundup.artifacts.outside import data_file
from groundup.errors import GroundupError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one")
    return path


def test_a_file_is_digested_as_sha256(file: Path, tmp_path: Path) -> None:
    assert Digests(tmp_path).of_file(file) == hashlib.sha256(b"one").hexdigest()


def test_a_second_look_reads_nothing(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "COARSEST_CLOCK", -1)  # as if the files had been there for long
    first = Digests(tmp_path / "cache")
    digest = first.of_file(file)
    first.save()

    def unread(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(outside, "sha256_of", unread)
    assert Digests(tmp_path / "cache").of_file(file) == digest


def test_a_change_that_keeps_size_and_time_is_seen(file: Path, tmp_path: Path) -> None:
    """Both writes fall into one tick of a coarse clock: only the content differs."""
    path, cache = file, tmp_path / "cache"
    stamp = time.time_ns()
    os.utime(path, ns=(stamp, stamp))
    digests = Digests(cache)
    before = digests.of_file(path)
    digests.save()
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp, stamp))
    assert Digests(cache).of_file(path) != before


def test_a_broken_cache_is_no_more_than_a_slow_start(file: Path, tmp_path: Path) -> None:
    (tmp_path / "sha256.json").write_text('{"half')
    assert Digests(tmp_path).of_file(file) == hashlib.sha256(b"one").hexdigest()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="No such file") as caught:
        Digests(tmp_path).of_file(tmp_path / "absent")
    assert caught.value.where == str(tmp_path / "absent")


def test_data_file_digests_what_a_section_names(tmp_path: Path) -> None:
    class Named:
        data: Path | None = Path("d.jsonl")

    class Unnamed:
        data: Path | None = None

    (tmp_path / "d.jsonl").write_bytes(b"{}")
    assert data_file(Named(), tmp_path, tmp_path / "c") == {"data": hashlib.sha256(b"{}").hexdigest()}
    assert data_file(Unnamed(), tmp_path, tmp_path / "c") == {}
