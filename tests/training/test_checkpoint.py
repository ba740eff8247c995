"""The newest whole checkpoint is used; a damaged one, a half-written one or a full disk costs the steps since."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from groundup.artifacts import durable
from groundup.errors import GroundupError
from groundup.parallel.checkpointing import files as files_module
from groundup.parallel.checkpointing.files import TENSORS
from groundup.parallel.checkpointing.part import snapshot
from groundup.training import checkpoint as checkpoint_module
from groundup.training.checkpoint import STATE, Checkpoints, Environment
from groundup.training.configuration import LoopConfig


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((4, 3), float(step)).T, "step": torch.tensor(float(step)), "none": torch.empty(0)}


def saved(folder: Path, *steps: int) -> Checkpoints:
    made = Checkpoints(folder, LoopConfig(checkpoint_seconds=20.0))
    for step in steps:
        made.save(step, snapshot(tensors(step)), {"validation": {"loss": step / 3}, "nested": [None, "ü", 1e-300]})
    made.finish()
    return made


def newest(folder: Path) -> int | None:
    found = Checkpoints(folder, LoopConfig(checkpoint_seconds=20.0)).load()
    return None if found is None else found.step


def test_round_trip(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    found = Checkpoints(tmp_path, LoopConfig(checkpoint_seconds=20.0)).load()
    assert found is not None
    assert (found.step, found.environment) == (3, Environment(torch.get_num_threads(), 1, {}))
    assert found.values == {"validation": {"loss": 1.0}, "nested": [None, "ü", 1e-300]}
    assert found.tensors.keys() == {*tensors(3), "random.0.cpu"}
    read = found.tensors.whole()
    for name, tensor in tensors(3).items():
        assert torch.equal(tensor, read[name])
        assert tensor.dtype == read[name].dtype


def test_two_are_kept_and_the_newest_is_used(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    saved(tmp_path, 1, 2, 9, 10, 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000000010", "checkpoint-000000100"]
    assert newest(tmp_path) == 100


def flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a flipped bit in a weight": lambda folder: flipped(folder / TENSORS, -5),
    "a flipped bit in the header": lambda folder: flipped(folder / TENSORS, 20),
    "tensors cut short": lambda folder: (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-1]),
    "no tensors": lambda folder: (folder / TENSORS).unlink(),
    "no state": lambda folder: (folder / STATE).unlink(),
    "an empty state": lambda folder: (folder / STATE).write_bytes(b""),
    "a state cut short": lambda folder: (folder / STATE).write_bytes((folder / STATE).read_bytes()[:-3]),
    "a state that is no UTF-8": lambda folder: (folder / STATE).write_bytes(b"\xff" * 40),
    "a state that is a list": lambda folder: (folder / STATE).write_bytes(b"[]"),
    "another step": lambda folder: replaced(folder / STATE, '"step": 2', '"step": 3'),
    "another value": lambda folder: replaced(folder / STATE, "0.6666", "0.6667"),
    "an empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
}


def replaced(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_skipped(damage, tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    damage(tmp_path / "checkpoint-000000002")
    assert newest(tmp_path) == 1
    damage_both = tmp_path / "checkpoint-000000001" / TENSORS
    damage_both.write_bytes(b"")
    assert newest(tmp_path) is None
    saved(tmp_path, 2)  # the run resumes and saves the same step again
    assert newest(tmp_path) == 2


class Killed(BaseException):
    pass


def test_a_kill_at_any_moment_of_saving_leaves_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before each call that touches the disk, one after the other."""
    kills = 0
    while True:
        folder = tmp_path / str(kills)
        saved(folder, 1, 2)
        with monkeypatch.context() as patch:
            left = [kills]

            def counted(function, left=left):
                def call(*args, **kwargs):
                    if left[0] == 0:
                        raise Killed
                    left[0] -= 1
                    return function(*args, **kwargs)

                return call

            for module, name in (
                (files_module, "save_file"),
                (checkpoint_module, "remove"),
                (durable, "sync"),
                (shutil, "rmtree"),
                (Path, "rename"),
                (Path, "replace"),
                (Path, "mkdir"),
            ):
                patch.setattr(module, name, counted(getattr(module, name)))
            try:
                saved(folder, 3)
            except Killed:
                pass
            else:
                break
        assert newest(folder) in (2, 3), kills
        saved(folder, 4)  # whatever was left lying about is no hindrance
        assert newest(folder) == 4
        assert [path for path in folder.iterdir() if path.name == ".checkpoint"] == []
        kills += 1
    assert kills > 8


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond `limit` bytes: a real error from where it is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 100, 5000])
def test_a_disk_that_takes_no_more(limit: int, tmp_path: Path) -> None:
    made = saved(tmp_path, 1, 2)
    with small_files(limit), pytest.raises(GroundupError, match=r"can't write .*make room") as error:
        made.save(3, snapshot({"weight": torch.zeros(10_000)}), {})
        made.finish()
    assert str(tmp_path) in str(error.value)
    assert newest(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000000001", "checkpoint-000000002"]
    made.save(3, snapshot(tensors(3)), {})
    made.finish()
    assert newest(tmp_path) == 3


@pytest.mark.parametrize("name", ["write", "write_text", "publish"])
def test_a_full_disk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = saved(tmp_path, 1, 2)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_module, name, full)
    with pytest.raises(GroundupError, match="No space left on device"):
        made.save(3, snapshot(tensors(3)), {})
        made.finish()
    assert newest(tmp_path) == 2
    assert not (tmp_path / ".checkpoint").exists()


def test_when_one_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint_module.time, "monotonic", lambda: now[0])
    made = Checkpoints(tmp_path, LoopConfig(checkpoint_seconds=20.0))
    assert not made.due(1)
    now[0] = 120.0
    assert made.due(1)
    made.save(1, snapshot(tensors(1)), {})
    made.finish()
    assert not made.due(1)
    assert Checkpoints(tmp_path, LoopConfig(checkpoint_seconds=0)).due(1)
    every = Checkpoints(tmp_path, LoopConfig(checkpoint_every=5, checkpoint_best=True))
    assert [every.due(step) for step in (4, 5, 6, 10)] == [False, True, False, True]
    assert every.due(7, {"heldout_loss": 1.0})


def test_lasting_ones_stay(tmp_path: Path) -> None:
    """Every third, the best, and the two newest; one that was not looked at is no candidate for the best."""
    made = Checkpoints(tmp_path, LoopConfig(checkpoint_every=3, checkpoint_best=True))
    for step, loss in enumerate([9.0, 4.0, 5.0, None, 6.0, 7.0, 8.0, 8.5], 1):
        made.save(step, snapshot(tensors(step)), {"measured": {} if loss is None else {"heldout_loss": loss}})
    made.finish()
    there = [int(path.name[-9:]) for path in sorted(tmp_path.iterdir())]
    assert there == [2, 3, 6, 7, 8]
    assert [int(path.name[-9:]) for path in made.lasting()] == [2, 3, 6]


def test_writing_does_not_stop_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved are the values at the call, whatever happens to the tensors while they are written."""
    gate = threading.Event()
    write = checkpoint_module.write
    monkeypatch.setattr(checkpoint_module, "write", lambda *given: (gate.wait(), write(*given)))
    made = Checkpoints(tmp_path, LoopConfig())
    weight = torch.ones(3)
    made.save(1, snapshot({"weight": weight}), {})
    weight.zero_()
    gate.set()
    made.finish()
    found = made.load()
    assert found is not None
    assert found.tensors.tensor("weight").tolist() == [1, 1, 1]
