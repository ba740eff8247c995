"""Pretraining sees every token once an epoch, learns a batch by heart, and is resumed bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import tiny
from groundup.artifacts import read_metrics
from groundup.errors import GroundupError
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.loop import TrainPlan, train
from groundup.training.pretraining import VALIDATION_SAMPLES, Pretraining
from resuming import PLAN, Cut, Every, KilledError, assert_resumes, run

LENGTH = 8


def shard(tokens: int, seed: int = 0) -> TokenShard:
    return TokenShard.of([np.random.default_rng(seed).integers(0, 61, tokens)])


def objective(batch_tokens: int = 32, accumulate: int = 1, heldout: int = 0) -> Pretraining:
    held = Windows(shard(heldout, seed=1), LENGTH) if heldout else None
    return Pretraining(SampleStream(shard(201), LENGTH, seed=4), held, batch_tokens=batch_tokens, accumulate=accumulate)


def test_an_epoch_has_every_target_once() -> None:
    made = objective(batch_tokens=40)
    assert made.tokens_per_step == 40
    rows = [row for step in range(5) for batch in made.batches(step) for row in batch.targets_BT.tolist()]
    samples = Windows(made.train.shard, LENGTH).rows(np.arange(25)).tolist()
    assert sorted(rows) == sorted(sample[1:] for sample in samples)
    for step in range(5):
        for batch in made.batches(step):
            assert torch.equal(batch.inputs_BT[:, 1:], batch.targets_BT[:, :-1])


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_is_one_large_batch(accumulate: int) -> None:
    whole, split = objective(64), objective(64, accumulate)
    parts = split.batches(3)
    assert len(parts) == accumulate
    assert torch.equal(torch.cat([part.inputs_BT for part in parts]), whole.batches(3)[0].inputs_BT)
    engines = tiny.engine(tiny.model()), tiny.engine(tiny.model())
    for engine, made in zip(engines, (whole, split), strict=True):
        batches = made.batches(3)
        engine.train_step(batches, [made.weight(batch) for batch in batches], made.loss, 1e-3, 1.0)
    moved = zip(engines[0].model.parameters(), engines[1].model.parameters(), strict=True)
    assert max(float((a - b).detach().abs().max()) for a, b in moved) < 1e-4


@pytest.mark.parametrize("samples", [5, VALIDATION_SAMPLES + 9])
def test_the_validation_loss_is_the_mean_over_its_tokens(samples: int) -> None:
    """Of the first sequences, in whatever batches they are read."""
    made, engine = objective(24, heldout=samples * 8 + 1), tiny.engine(tiny.model())
    rows = torch.from_numpy(made.heldout.rows(np.arange(min(samples, VALIDATION_SAMPLES))))
    with torch.no_grad():
        logits, _ = engine.model(rows[:, :-1])
    expected = float(F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()))
    assert made.validate(engine) == {"heldout_loss": pytest.approx(expected, rel=1e-5)}
    assert objective().validate(engine) == {}


def test_attention_kept_inside_documents_is_each_document_on_its_own() -> None:
    """The loss of a sequence of three documents against the sum over them, each read alone after its first token."""
    ids, end = tiny.ids(1, 24)[0].tolist(), 60
    shard = TokenShard.of([[*ids[:7], end], [*ids[7:10], end], [*ids[10:], end]])
    made = Pretraining(SampleStream(shard, 26, 0), None, batch_tokens=26, accumulate=1, inside_documents=True)
    model, expected = tiny.model(), 0.0
    for row in ([*ids[:7], end], [end, *ids[7:10], end], [end, *ids[10:], end]):
        with torch.no_grad():
            logits, _ = model(torch.tensor([row[:-1]]))
        expected += float(F.cross_entropy(logits[0], torch.tensor(row[1:]), reduction="sum"))
    assert made.loss(model, made.batches(0)[0])[0].item() == pytest.approx(expected, rel=1e-5)
    joined = Pretraining(made.train, None, batch_tokens=26, accumulate=1)
    assert abs(joined.loss(model, joined.batches(0)[0])[0].item() - expected) > 0.1
    held = Pretraining(made.train, Windows(shard, 26), batch_tokens=26, accumulate=1, inside_documents=True)
    assert held.validate(tiny.engine(model)) == {"heldout_loss": pytest.approx(expected / 26, rel=1e-5)}


def make(seed: int) -> tuple[SingleDevice, Pretraining]:
    return tiny.engine(tiny.model(seed)), objective(batch_tokens=48, accumulate=2, heldout=60)


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    assert_resumes(make, tmp_path)


def test_a_damaged_checkpoint_costs_steps_and_nothing_else(tmp_path: Path) -> None:
    expected = run(make, tmp_path / "whole", 100)
    folder = tmp_path / "cut"
    with pytest.raises(KilledError):
        run(make, folder, 1, at=4)
    newest = max(folder.glob("checkpoint-*")) / "tensors.safetensors"
    content = bytearray(newest.read_bytes())
    content[-9] ^= 4
    newest.write_bytes(content)
    assert run(make, folder, 100).equals(expected)


class Loud(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_resuming_is_announced_and_so_is_another_number_of_threads(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(make, tmp_path, 1, at=4)
    threads = torch.get_num_threads()
    try:
        for number in (threads, threads + 1):
            torch.set_num_threads(number)
            loud = Loud()
            engine, made = make(0)
            with pytest.raises(KilledError):
                train(
                    engine,
                    Cut(made, 4),
                    PLAN,
                    title="pretrain",
                    checkpoints=Every(tmp_path, 100),
                    metrics_path=tmp_path / "metrics.jsonl",
                    progress=loud,
                )
            assert "resuming after step 4 of 6" in loud.lines[-1]
            assert len(loud.lines) == (1 if number == threads else 2)
        assert f"made with {threads} threads, this process has {threads + 1}" in loud.lines[0]
    finally:
        torch.set_num_threads(threads)


def trained(made: Pretraining, engine: SingleDevice, folder: Path, plan: TrainPlan) -> dict[str, float]:
    checkpoints = Checkpoints(folder, plan.config)
    metrics = folder / "metrics.jsonl"
    return train(engine, made, plan, title="test", checkpoints=checkpoints, metrics_path=metrics, progress=Silent())


def test_one_batch_is_learnt_by_heart(tmp_path: Path) -> None:
    four = shard(33)  # rows, over and over
    made = Pretraining(SampleStream(four, LENGTH, seed=0), Windows(four, LENGTH), batch_tokens=32, accumulate=1)
    engine = tiny.engine(tiny.model(spread=0.1))
    figures = trained(made, engine, tmp_path, TrainPlan(120, 1e-2, LoopConfig()))
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows[0]["loss"] > 4
    assert figures["heldout_loss"] < 0.05  # the validation tokens are the training tokens


def test_a_diverging_run_stops_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    made, engine = objective(), tiny.engine(tiny.model())
    good = made.loss

    def breaks(model, batch):
        loss, watch = good(model, batch)
        return (loss * float("nan") if steps.pop(0) == 3 else loss), watch

    steps, made.loss = list(range(6)), breaks
    with pytest.raises(GroundupError, match=r"test, step 4: .*nan.*diverged"):
        train(
            engine,
            made,
            TrainPlan(6, 1e-3, LoopConfig()),
            title="test",
            checkpoints=Checkpoints(tmp_path, LoopConfig(checkpoint_seconds=0)),
            metrics_path=tmp_path / "metrics.jsonl",
            progress=Silent(),
        )
    kept = Checkpoints(tmp_path, LoopConfig(checkpoint_seconds=0)).load()
    assert kept is not None
    assert kept.step == 3
    assert all(torch.equal(tensor, kept.tensors.tensor(name)) for name, tensor in engine.state().items())
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3]


def test_a_row_describes_its_step(tmp_path: Path) -> None:
    plan = TrainPlan(6, 1e-2, LoopConfig(warmup=0.5), validate_every=4)
    figures = trained(objective(heldout=60), tiny.engine(tiny.model()), tmp_path, plan)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2, 1e-2, 7.5e-3, 2.5e-3])
    assert {row["tokens"] for row in rows} == {32}
    assert [row["step"] for row in rows if "heldout_loss" in row] == [4, 6]
    assert rows[-1]["heldout_loss"] == figures["heldout_loss"]
