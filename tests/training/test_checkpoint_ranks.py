"""Checkpoints that several processes write together: whole or not at all, and all of them agree on which is used."""

import itertools
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint  # here, so that processes forked later need not import it each time
from torch import Tensor

import ranks
from groundup.errors import GroundupError
from groundup.parallel.checkpointing.part import Part, Snapshot, snapshot
from groundup.parallel.configuration import ParallelConfig
from groundup.training.checkpoint import STATE, Checkpoints
from groundup.training.configuration import LoopConfig

TWO = ParallelConfig(dp_shard=2)
ROWS = 5


def whole(step: int) -> dict[str, Tensor]:
    """What two processes hold together."""
    numbers = torch.arange(ROWS * 3.0).view(ROWS, 3) + 100 * step
    return {
        "cut": numbers,
        "row": numbers[:1],
        "copy": -numbers,
        "step": torch.tensor(step),
        "half": numbers.bfloat16(),
    }


def parts(step: int) -> Snapshot:
    """Of these: of `cut` the rows up to 3 or the others, of `row` and `half` all or nothing, of the others copies."""
    rank, tensors = dist.get_rank(), whole(step)
    held = snapshot({name: tensors[name] for name in ("copy", "step")})
    first, last = ((0, 3), (3, ROWS))[rank]
    held["cut"] = Part(tensors["cut"][first:last].clone(), (first, 0), tensors["cut"].shape)
    held["row"] = Part(tensors["row"][rank:].clone(), (rank, 0), tensors["row"].shape)
    held["half"] = Part(tensors["half"][:, 3 * rank :].clone(), (0, 3 * rank), tensors["half"].shape)
    return held


def saved(folder: Path, *steps: int) -> Checkpoints:
    made = Checkpoints(folder, LoopConfig(), TWO)
    for step in steps:
        made.save(step, parts(step), {"step": step})
    made.finish()
    return made


def newest(folder: Path, said: list[str] | None = None) -> int | None:
    found = Checkpoints(folder, LoopConfig(), TWO).load((said if said is not None else []).append)
    return None if found is None else found.step


def test_parts_become_tensors_again_without_the_other_process(tmp_path: Path) -> None:
    ranks.run(2, lambda: saved(tmp_path, 1, 2).finish())
    said: list[str] = []
    found = Checkpoints(tmp_path, LoopConfig()).load(said.append)
    assert found is not None
    assert (found.step, found.environment.processes, found.environment.layout) == (2, 2, {"dp_shard": 2})
    assert [line.split(":")[0] for line in said] == [
        "the checkpoint was made by 2 processes (dp_shard 2), this run has 1 process"
    ]
    read = found.tensors.whole()
    assert read.keys() == {*whole(2), "random.0.cpu", "random.1.cpu"}
    for name, tensor in whole(2).items():
        assert torch.equal(read[name], tensor), name
        assert (read[name].dtype, found.tensors[name]) == (tensor.dtype, tensor.shape)
    assert found.tensors.below("ro")["w"] == (1, 3)
    assert list(found.tensors.below("ste")) == ["p"]
    files = sorted(path.name for path in found.tensors.folder.iterdir())
    assert len(files) == 3
    assert STATE in files
    written = sum(path.stat().st_size for path in found.tensors.folder.glob("*.safetensors"))
    held = sum(tensor.nbytes for tensor in read.values())
    assert held < written < held + 2500  # what both hold alike is there once


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the first file": lambda folder: flip(min(folder.glob("*.safetensors"))),
    "a bit of the second file": lambda folder: flip(max(folder.glob("*.safetensors"))),
    "a file is missing": lambda folder: max(folder.glob("*.safetensors")).unlink(),
    "a file too many": lambda folder: (folder / "shard-00009.safetensors").write_bytes(b""),
    "no state": lambda folder: (folder / STATE).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_both_pass_over_what_one_finds_damaged(damage: Callable[[Path], object], tmp_path: Path) -> None:
    def work() -> tuple[int | None, list[str]]:
        saved(tmp_path, 1, 2)
        if dist.get_rank() == 0:
            damage(tmp_path / "checkpoint-000000002")
        dist.barrier()
        said: list[str] = []
        return newest(tmp_path, said), said

    expected = (1, ["checkpoint-000000002 is damaged: using the one before it"])
    assert ranks.run(2, work) == [expected, expected]


@pytest.mark.parametrize("broke", [0, 1])
def test_a_disk_that_is_full_for_one_is_an_error_in_both(broke: int, tmp_path: Path) -> None:
    def work() -> tuple[str, int | None, list[str], int | None]:
        made = saved(tmp_path, 1, 2)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        if dist.get_rank() == broke:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(GroundupError) as error:
            made.save(3, parts(3), {})
            made.finish()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        before, there = newest(tmp_path), sorted(path.name for path in tmp_path.iterdir())
        dist.barrier()
        made.save(3, parts(3), {})
        made.finish()
        return str(error.value), before, there, newest(tmp_path)

    for message, before, there, after in ranks.run(2, work):
        assert "can't write (File too large); make room" in message
        assert "checkpoint-000000003" in message
        assert (before, after) == (2, 3)
        assert there == ["checkpoint-000000001", "checkpoint-000000002"]


def test_training_continues_while_they_write(tmp_path: Path) -> None:
    """Both use the job's own group while their threads use that of the checkpoints."""

    def work() -> float:
        made, sum_of_all = Checkpoints(tmp_path, LoopConfig(), TWO), 0.0
        for step in range(1, 6):
            made.save(step, parts(step), {})
            for number in range(20):
                value = torch.tensor(float(number))
                dist.all_reduce(value)
                sum_of_all += value.item()
        made.finish()
        return sum_of_all

    assert ranks.run(2, work) == [5 * 2 * 190.0] * 2
    assert newest(tmp_path) == 5


def saving(folder: Path) -> None:
    """Save step after step, from the newest checkpoint on, for ever."""
    made = Checkpoints(folder / "kept", LoopConfig(), TWO)
    found = made.load()
    (folder / f"process-{os.getpid()}").touch()
    for step in itertools.count(1 if found is None else found.step + 1):
        made.save(step, parts(step), {})


def kill_one(folder: Path, after: str, seconds: float, generator: random.Random) -> None:
    """One of the two processes that save, `seconds` after the first checkpoint that is newer than `after`."""
    while not any(path.name > after for path in (folder / "kept").glob("checkpoint-*")):
        time.sleep(0.01)
    time.sleep(seconds)
    victim = generator.choice(sorted(folder.glob("process-*")))
    os.kill(int(victim.name.removeprefix("process-")), signal.SIGKILL)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_kill_of_either_leaves_whole_checkpoints_and_no_hang(kills: int, tmp_path: Path) -> None:
    generator, newest_name, half_written = random.Random(kills), "", 0
    for _ in range(kills):
        for path in tmp_path.glob("process-*"):
            path.unlink()
        arguments = (tmp_path, newest_name, generator.uniform(0, 0.2), generator)
        killer = threading.Thread(target=kill_one, args=arguments)
        killer.start()
        with pytest.raises(AssertionError, match=r"rank . (died without a word|failed)"):
            ranks.run(2, saving, tmp_path)
        killer.join()
        half_written += (tmp_path / "kept" / ".checkpoint").exists()
        found = Checkpoints(tmp_path / "kept", LoopConfig(), TWO).load()
        assert found is not None
        assert found.tensors.folder.name > newest_name
        newest_name = found.tensors.folder.name
        assert all(torch.equal(found.tensors.tensor(name), tensor) for name, tensor in whole(found.step).items())
    assert half_written
