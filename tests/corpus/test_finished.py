"""A finished partition is used again if it is complete, and rebuilt if anything in it changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.corpus.finished import part_folder, run_or_reuse, sweep


class Maker:
    """Counts how often a partition is made."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, folder: Path) -> dict[str, object]:
        self.times += 1
        (folder / "a.bin").write_bytes(b"a" * 1000)
        (folder / "b.bin").write_bytes(b"b")
        return {"rows": 3, "steps": {"read": (1, 2)}}


def test_what_is_finished_is_made_once(tmp_path: Path) -> None:
    make = Maker()
    first = run_or_reuse(tmp_path, 7, make)
    assert run_or_reuse(tmp_path, 7, make) == first == {"rows": 3, "steps": {"read": [1, 2]}}
    assert make.times == 1
    run_or_reuse(tmp_path, 8, make)
    assert make.times == 2


def flip(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"a" * 999 + b"b")


def cut(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"a" * 10)


def lose(folder: Path) -> None:
    (folder / "b.bin").unlink()


def lose_record(folder: Path) -> None:
    (folder / "finished.json").unlink()


def cut_record(folder: Path) -> None:
    record = folder / "finished.json"
    record.write_bytes(record.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [flip, cut, lose, lose_record, cut_record])
def test_what_was_damaged_is_rebuilt(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    make = Maker()
    run_or_reuse(tmp_path, 0, make)
    damage(part_folder(tmp_path, 0))
    run_or_reuse(tmp_path, 0, make)
    assert make.times == 2
    assert (part_folder(tmp_path, 0) / "a.bin").read_bytes() == b"a" * 1000
    run_or_reuse(tmp_path, 0, make)
    assert make.times == 2


def test_a_failure_leaves_nothing_and_a_kill_leaves_what_is_swept(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, object]:
        (folder / "half").write_text("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_or_reuse(tmp_path, 0, fail)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".making-00000-dead").mkdir()
    make = Maker()
    run_or_reuse(tmp_path, 1, make)
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["part-00001"]
