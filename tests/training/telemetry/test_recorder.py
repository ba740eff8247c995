"""What a loop writes down is true, and none of it changes what is trained."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from groundup.artifacts import read_metrics
from groundup.errors import GroundupError
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig, PretrainConfig
from groundup.training.loop import TrainPlan, train
from groundup.training.pretraining import Pretraining
from groundup.training.telemetry import flops_of, publish, recorder

CEILING = 2e9


def objective(accumulate: int = 1) -> Pretraining:
    shard = TokenShard.of([tiny.ids(1, 400)[0].tolist()])
    return Pretraining(SampleStream(shard, 16, seed=4), None, batch_tokens=64, accumulate=accumulate)


def trained(folder: Path, steps: int = 6, accumulate: int = 1, **telemetry: Any) -> tuple[SingleDevice, list[dict]]:
    config = LoopConfig.model_validate({"telemetry": telemetry, "checkpoint_seconds": 0})
    engine, made = tiny.engine(tiny.model()), objective(accumulate)
    train(
        engine,
        made,
        TrainPlan(steps, 1e-2, config),
        title="test",
        checkpoints=Checkpoints(folder, config),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
        flops=lambda batch: flops_of(engine.model.config, made.lengths(batch)),
    )
    return engine, read_metrics(folder / "metrics.jsonl")


@pytest.fixture
def ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "matmul_ceiling", lambda device, dtype: CEILING)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_speed_and_mfu(tmp_path: Path, ceiling: None, monkeypatch: pytest.MonkeyPatch, accumulate: int) -> None:
    """With a clock that goes a hundredth of a second forward whenever it is looked at, so that a step takes one."""
    now = iter(n / 100 for n in range(10**6))
    monkeypatch.setattr(recorder.time, "perf_counter", lambda: next(now))
    engine, rows = trained(tmp_path, accumulate=accumulate)
    monkeypatch.undo()
    assert len(rows) == 6
    for row in rows:
        assert row["tokens"] == 64
        assert row["tokens_per_second"] == pytest.approx(64 / 0.01)
        expected = 64 * engine.model.config.flops_per_token(16) / 0.01 / CEILING
        assert row["mfu"] == pytest.approx(expected, abs=1e-4)
        assert 0 < row["mfu"] < 10
        assert row["peak_rss_bytes"] > 50 << 20


def test_without_a_measured_ceiling_there_is_no_mfu(tmp_path: Path) -> None:
    _, rows = trained(tmp_path, mfu=False)
    assert all("mfu" not in row and row["tokens_per_second"] > 0 for row in rows)


def test_the_measured_ceiling_is_not_surpassed(tmp_path: Path) -> None:
    """NanoGPT once printed 104 %: there the ceiling was another machine's, here it is this one's."""
    _, rows = trained(tmp_path, steps=3)
    assert all(0 < row["mfu"] < 1 for row in rows)


def test_nothing_that_is_watched_changes_a_bit(tmp_path: Path, ceiling: None) -> None:
    plain, _ = trained(tmp_path / "plain", mfu=False)
    watched, _ = trained(tmp_path / "watched", layers=2, profile={"start": 2, "steps": 2})
    assert all(torch.equal(tensor, watched.state()[name]) for name, tensor in plain.state().items())
    telemetry = {"layers": 3, "wandb": {"project": "a"}, "profile": {}, "tensorboard": True}
    assert PretrainConfig(telemetry=telemetry).result_affecting() == PretrainConfig().result_affecting()


def test_a_trace_of_the_steps_asked_for(tmp_path: Path, ceiling: None) -> None:
    trained(tmp_path, profile={"start": 2, "steps": 3})
    with gzip.open(tmp_path / "profile" / "steps-2-4.json.gz") as file:
        names = {event.get("name") for event in json.load(file)["traceEvents"]}
    assert {"step 2", "step 3", "step 4", "aten::mm"} <= names
    assert not {"step 1", "step 5"} & names
    assert "Self CPU" in (tmp_path / "profile" / "steps-2-4.txt").read_text()


def test_what_is_left_of_a_profile_is_written_when_the_plan_ends(tmp_path: Path, ceiling: None) -> None:
    trained(tmp_path, profile={"start": 5, "steps": 50})
    assert (tmp_path / "profile" / "steps-5-6.json.gz").is_file()


def test_a_step_that_will_not_be_can_not_be_profiled(tmp_path: Path, ceiling: None) -> None:
    with pytest.raises(GroundupError, match=r"telemetry\.profile: there is no step 7 of test; give one from 1 to 6"):
        trained(tmp_path, profile={"start": 7})
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_resumed_run_has_each_row_once(tmp_path: Path, ceiling: None) -> None:
    trained(tmp_path, steps=4, layers=1)
    _, rows = trained(tmp_path, steps=7, layers=1)
    assert [row["step"] for row in rows] == list(range(1, 8))
    layers = read_metrics(tmp_path / "layers.jsonl")
    assert [row["step"] for row in layers if row["layer"] == 0] == list(range(1, 8))


def test_records_hold_all_of_it_but_no_links(tmp_path: Path, ceiling: None) -> None:
    trained(tmp_path / "keep", layers=2, profile={"start": 1, "steps": 1})
    (tmp_path / "keep" / "wandb").mkdir()
    (tmp_path / "keep" / "wandb" / "latest").symlink_to(tmp_path)
    (tmp_path / "records").mkdir()
    publish(tmp_path / "keep", tmp_path / "records")
    names = {path.relative_to(tmp_path / "records").as_posix() for path in (tmp_path / "records").rglob("*")}
    assert names == {
        "metrics.jsonl", "layers.jsonl", "profile", "wandb", "profile/steps-1-1.json.gz", "profile/steps-1-1.txt",
    }  # fmt: skip


def test_what_a_row_costs(tmp_path: Path) -> None:
    """Speed and memory of a step are measured in well under a tenth of a millisecond."""
    began = time.perf_counter()
    for _ in range(200):
        recorder.memory(torch.device("cpu"))
    assert (time.perf_counter() - began) / 200 < 1e-4
