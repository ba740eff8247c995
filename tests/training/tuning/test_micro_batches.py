"""What is said to be fastest is, what is said to fit does, and the weights stay as they were."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

import tiny
from groundup.parallel.engine import StepResult
from groundup.parallel.single_device import SingleDevice
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.training.pretraining import Pretraining
from groundup.training.tuning import micro_batches
from groundup.training.tuning.micro_batches import Tried, fastest, try_micro_batches

LENGTH = 16


def objective() -> Pretraining:
    shard = TokenShard.of([tiny.ids(1, 4000)[0].tolist()])
    return Pretraining(SampleStream(shard, LENGTH, seed=4), None, batch_tokens=64 * LENGTH, accumulate=1)


class Machine(SingleDevice):
    """Steps take what a formula says on a clock of their own, and memory has an end."""

    def __init__(self, micro: dict[int, float], optimizer: float, most: int, error: RuntimeError) -> None:
        made = tiny.engine(tiny.model())
        super().__init__(made.model, lambda _: made.optimizer, made.device, "fp32")
        self.micro, self.step_seconds, self.most, self.error = micro, optimizer, most, error
        self.now = 0.0

    def train_step(self, batch: Sequence[Any], *rest: Any, **options: Any) -> StepResult:
        rows = len(batch[0].inputs_BT)
        if rows > self.most:
            raise self.error
        self.now += self.step_seconds + len(batch) * self.micro[rows]
        return StepResult(0.0, 0.0, {})


NO_ROOM = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("micro", "optimizer", "most", "best", "seen"),
    [
        # a GPU: the more the better, until there is no room
        ({1: 1.0, 2: 1.1, 4: 1.3, 8: 1.7, 16: 2.5}, 0.5, 16, 16, [1, 2, 4, 8, 16, 32]),
        # a cache that overflows from 4 on; two in a row that are slower end it
        ({1: 1.0, 2: 1.5, 4: 6.0, 8: 12.0}, 0.0, 64, 2, [1, 2, 4, 8]),
        # a batch that is no power of 2 is tried whole
        ({1: 1.0, 2: 1.9, 4: 3.7, 8: 7.2, 16: 14.0, 32: 27.0, 48: 40.0}, 0.1, 64, 48, [1, 2, 4, 8, 16, 32, 48]),
    ],
)
def test_on_a_machine_by_formula(
    micro: dict[int, float], optimizer: float, most: int, best: int, seen: list[int]
) -> None:
    rows = 48 if 48 in micro else 64
    engine = Machine(micro, optimizer, most, NO_ROOM)
    tried = list(try_micro_batches(engine, objective(), rows, seconds=0.0, clock=lambda: engine.now))
    assert [one.rows for one in tried] == seen
    for one in tried:
        parts = -(-rows // one.rows)
        assert one.accumulate == parts
        assert one.fits == (one.rows <= most)
        if one.fits:
            speed = one.rows * parts * LENGTH / (optimizer + parts * micro[one.rows])
            assert one.tokens_per_second == pytest.approx(speed)
    chosen = fastest(tried)
    assert chosen is not None and chosen.rows == best


def test_the_cpus_allocator_says_it_in_words_and_other_errors_are_not_hidden() -> None:
    words = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    tried = list(try_micro_batches(Machine({}, 0.0, 0, words), objective(), 8, seconds=0.0))
    assert tried == [Tried(1, 8, fits=False)] and fastest(tried) is None
    with pytest.raises(RuntimeError, match="another"):
        list(try_micro_batches(Machine({}, 0.0, 0, RuntimeError("another")), objective(), 8, seconds=0.0))


def test_what_would_not_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of 100 MB to which each sequence adds 10: of 230, 12 sequences would fit 90 %."""
    engine = Machine(dict.fromkeys((1, 2, 4, 8, 16), 1.0), 0.0, 99, NO_ROOM)
    rows = [0]

    def memory(device: torch.device) -> int:
        return 100 + 10 * rows[0]

    step = engine.train_step

    def noting(batch: Sequence[Any], *rest: Any, **options: Any) -> StepResult:
        rows[0] = len(batch[0].inputs_BT)
        return step(batch, *rest, **options)

    monkeypatch.setattr(engine, "train_step", noting)
    monkeypatch.setattr(micro_batches, "_memory", memory)
    tried = list(try_micro_batches(engine, objective(), 64, room=230, seconds=0.0, clock=lambda: engine.now))
    assert [(one.rows, one.fits, one.memory_bytes) for one in tried] == [
        (1, True, 110), (2, True, 120), (4, True, 140), (8, True, 180), (16, False, 260),
    ]  # fmt: skip


def test_real_steps_leave_the_weights_alone() -> None:
    engine = tiny.engine(tiny.model())
    before = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    tried = list(try_micro_batches(engine, objective(), 8, seconds=0.05))
    assert [one.rows for one in tried][:2] == [1, 2]
    assert all(one.tokens_per_second > 0 and one.memory_bytes > 0 for one in tried)
    assert all(torch.equal(tensor, before[name]) for name, tensor in engine.model.state_dict().items())
