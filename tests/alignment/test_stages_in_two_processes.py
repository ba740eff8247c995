"""Each alignment stage on two processes with sharded weights and batches (FSDP), against the same stage on one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from test_stage import FAST, FUNCTIONS, PPO, REWARD, SFT, all_stages, start  # noqa: F401  (start is a fixture)

import ranks
from groundup.alignment.configuration import DpoConfig
from groundup.alignment.reward import load_reward_model
from groundup.artifacts import Artifact, Work, read_metrics
from groundup.lazy import load
from groundup.model.weights import load_model
from groundup.parallel.configuration import ParallelConfig

CONFIGS = {"sft": SFT, "reward": REWARD, "ppo": PPO, "dpo": DpoConfig(batch_pairs=4, **FAST)}
TWO = {"parallel": ParallelConfig(dp_shard=2)}
SHARD_ALL = {"zero_optimization": {"stage3_param_persistence_threshold": 0}}  # however small


@pytest.fixture(scope="module")
def road(start: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:  # noqa: F811
    """All stages on one process."""
    return all_stages(start, tmp_path_factory.mktemp("alone"))


def part(name: str, config: Any, inputs: Mapping[str, Artifact], root: Path) -> dict[str, Any]:
    """A rank's part: its own folder for what it writes, one for the checkpoints of all ranks."""
    out, keep = root / f"rank-{os.environ['RANK']}", root / "keep"
    out.mkdir()
    keep.mkdir(exist_ok=True)
    figures = load(FUNCTIONS[name])(config, inputs, Work(out, keep, seed=1, base=root))
    return json.loads(json.dumps(figures))


def together(name: str, inputs: Mapping[str, Artifact], root: Path, **changes: Any) -> list[dict[str, Any]]:
    config = CONFIGS[name].model_copy(update=TWO | changes)
    return ranks.run(2, part, name, config, dict(inputs), root, seconds=100)


def weights(name: str, folder: Path) -> dict[str, torch.Tensor]:
    model = load_reward_model(folder / "model")[0] if name == "reward" else load_model(folder / "model")
    return {key: value.detach() for key, value in model.named_parameters()}


def close(ours: Any, theirs: Any) -> bool:
    """Equal but for rounding, wherever there is a number."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(close(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, float):
        return bool(ours == pytest.approx(theirs, rel=2e-3, abs=2e-4))
    return bool(ours == theirs)


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    wrong = [key for key in theirs if key != "summary" and not close(ours.get(key), theirs[key])]
    return {key: (ours.get(key), theirs[key]) for key in wrong}


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_make_what_one_makes(name: str, road: dict[str, Artifact], tmp_path: Path) -> None:
    """Figures, the loss of each step, and the weights. In PPO: the same samples, rewards and advantages."""
    makes_the_same(name, road, tmp_path)


@pytest.mark.engines
@pytest.mark.parametrize("name", CONFIGS)
def test_deepspeed_makes_it_too(name: str, road: dict[str, Artifact], tmp_path: Path) -> None:
    pytest.importorskip("deepspeed.comm")
    makes_the_same(name, road, tmp_path, parallel=ParallelConfig(engine="deepspeed", dp_shard=2, deepspeed=SHARD_ALL))


def makes_the_same(name: str, road: dict[str, Artifact], tmp_path: Path, **changes: Any) -> None:
    figures, others = together(name, road, tmp_path, **changes)
    assert differing(figures, road[name].figures) == {}
    assert {key: value for key, value in others.items() if key != "summary"}.keys() >= {"precision"}
    ours, theirs = weights(name, tmp_path / "rank-0"), weights(name, road[name].path)
    before = weights("sft", road["pretrain" if name == "sft" else "sft"].path)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        known = before.get(key.removeprefix("language."))
        moved = (value - known).norm() if known is not None else value.norm()
        assert (ours[key] - value).norm() <= 0.02 * moved + 1e-6, key
    mine = read_metrics(tmp_path / "rank-0" / "records" / "metrics.jsonl")
    alone = read_metrics(road[name].path / "records" / "metrics.jsonl")
    watched = {"loss", "gradient_norm", "score", "kl", "policy_loss", "value_loss", "accuracy", "reward"}
    assert [row["step"] for row in mine] == [row["step"] for row in alone]
    for one, other in zip(mine, alone, strict=True):
        assert differing(one, {key: other[key] for key in watched & other.keys()}) == {}, one["step"]


def test_only_the_first_process_writes_the_model(road: dict[str, Artifact], tmp_path: Path) -> None:
    together("sft", road, tmp_path)
    assert (tmp_path / "rank-0" / "model").is_dir()
    assert not (tmp_path / "rank-1" / "model").exists()


@pytest.mark.parametrize("critic", ["separate", "trunk"])
def test_ppo_accumulates_and_shares_uneven_minibatches(critic: str, road: dict[str, Artifact], tmp_path: Path) -> None:
    """Six answers in minibatches of five and one would leave a process without any; of four and two they do not."""
    changes = {"minibatch": 4, "accumulate": 2, "rollouts": 6, "critic": critic}
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "keep").mkdir()
    (alone / "out").mkdir()
    expected = load(FUNCTIONS["ppo"])(PPO.model_copy(update=changes), road, Work(alone / "out", alone / "keep", seed=1))
    figures, _ = together("ppo", road, tmp_path, **changes)
    assert differing(figures, json.loads(json.dumps(expected))) == {}
