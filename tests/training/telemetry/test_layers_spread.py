"""A layer's figures are those of one process however the model is spread; and each row is recorded once."""

from pathlib import Path
from typing import Any

import pytest

import ranks
import tiny
from curves import Training
from groundup.artifacts import read_metrics
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.engine import Engine
from groundup.parallel.mesh.engine import MeshEngine
from groundup.progress import Silent
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.loop import TrainPlan, train
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import Pretraining
from groundup.training.telemetry import flops_of, recorder

TRAINING = Training()
LAYOUTS: list[dict[str, Any]] = [{"dp_replicate": 2}, {"dp_shard": 2}, {"tp": 2}, {"pp": 2}]


def rows(engine: Engine, folder: Path) -> None:
    shard = TokenShard.of([tiny.ids(1, 600)[0].tolist()])
    made = Pretraining(SampleStream(shard, 16, seed=4), None, batch_tokens=8 * 16, accumulate=2)
    config = LoopConfig.model_validate({"telemetry": {"layers": 2}, "checkpoint_seconds": 1e9})
    shape = engine.model.config
    train(
        engine,
        made,
        TrainPlan(4, 1e-2, config),
        title="test",
        checkpoints=Checkpoints(folder, config),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
        flops=lambda batch: flops_of(shape, made.lengths(batch)),
    )


def spread(degrees: dict[str, Any], folder: Path) -> None:
    recorder.matmul_ceiling = lambda device, dtype: 1e5
    maker = make_optimizer(TRAINING.optimizer)
    rows(MeshEngine(TRAINING.model(), maker, ParallelConfig(**degrees), "fp32"), folder)


@pytest.mark.parametrize("degrees", LAYOUTS, ids=lambda degrees: next(iter(degrees)))
def test_as_in_one_process(degrees: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "matmul_ceiling", lambda device, dtype: 1e5)
    rows(tiny.engine(TRAINING.model()), tmp_path / "one")
    ranks.run(2, spread, degrees, tmp_path / "two")
    one, two = (read_metrics(tmp_path / name / "layers.jsonl") for name in ("one", "two"))
    of = [{(row["step"], row["layer"]): row for row in each} for each in (one, two)]
    assert of[0].keys() == of[1].keys() and len(one) == len(two) > 6
    for key, row in of[0].items():
        other = of[1][key]
        assert row.keys() == other.keys()
        for name in row.keys() - {"step", "layer"}:
            assert other[name] == pytest.approx(row[name], rel=2e-3), (key, name)
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert [row["step"] for row in two] == [row["step"] for row in one] == [1, 2, 3, 4]
    shares = [
        row["mfu"] / row["tokens_per_second"] * processes for each, processes in ((one, 1), (two, 2)) for row in each
    ]
    assert shares == pytest.approx([shares[0]] * 8, rel=1e-3)  # the same work for a token; two processes share it
