"""PPO and DPO as they stand reach the optimum that theory gives, and a wrong penalty or label does not.

Thresholds stand between what right and wrong code reached over eight seeds.
"""

from collections.abc import Callable

import pytest
import torch
from tabular import LONGEST, START, TablePolicy, TableScalar, World
from torch import Tensor

import tiny
from groundup.alignment import ppo as ppo_module
from groundup.alignment.answers import Answer
from groundup.alignment.configuration import PpoConfig
from groundup.alignment.dpo import DpoObjective
from groundup.alignment.losses import kl_k1, kl_k3
from groundup.alignment.ppo import Ppo
from groundup.alignment.reward import Scale
from groundup.training.configuration import LoopConfig
from groundup.training.schedule import learning_rate

FALLING = LoopConfig(warmup=0)


def test_the_optimum_is_one() -> None:
    """pi* reaches J*, and moving it anywhere loses."""
    world = World(0)
    assert world.best == pytest.approx(0.8698, abs=1e-4)  # the figure that others computed from this seed
    assert world.gained(world.reference_SA) == 0
    best_SA = world.reference_SA.clone()
    mass = dict[tuple[int, ...], float]()  # of all answers that begin so
    for answer, p in zip(world.answers_YT.tolist(), world.best_Y.tolist(), strict=True):
        for length in range(LONGEST + 1):
            mass[tuple(answer[:length])] = mass.get(tuple(answer[:length]), 0.0) + p
    nodes: list[tuple[int, ...]] = [()]
    for state in range(world.beginnings):
        children = [(*nodes[state], letter) for letter in range(5)]
        nodes += children
        best_SA[state] = torch.tensor([mass[child] for child in children]).log()
    assert world.objective(best_SA) == pytest.approx(world.best, abs=1e-4)
    assert world.distance(best_SA) < 1e-4
    for seed in range(5):
        noise = 0.3 * torch.randn(best_SA.shape, generator=torch.Generator().manual_seed(seed))
        assert world.objective(best_SA + noise) < world.best - 1e-3


def ppo_reaches(seed: int, iterations: int = 30, rate: float = 0.1, temperature: float = 1.0) -> tuple[float, float]:
    """(share of the way to J*, distance to pi*) of the real Ppo.

    At a temperature the policy is what is sampled there, and so is the reference: tables hold logits times it.
    """
    world = World(seed)
    policy = TablePolicy(world.reference_SA * temperature)
    config = PpoConfig(
        iterations=iterations,
        rollouts=512,
        epochs=4,
        minibatch=256,
        max_answer_tokens=LONGEST,
        temperature=temperature,
        kl=world.beta,
        missing_end_penalty=0.0,
        critic_speed=1.0,  # a table needs no faster critic
        clip_norm=100,
    )
    loop = Ppo(
        tiny.engine(policy, weight_decay=0),
        tiny.engine(TableScalar(torch.zeros(world.beginnings)), weight_decay=0),
        TablePolicy(world.reference_SA * temperature),
        TableScalar(world.rewards_of_nodes()),
        Scale(0.0, 1.0),
        [[START]],
        config,
        stop=-1,
        pad=0,
        seed=seed,
    )
    for iteration in range(iterations):
        rollout = loop.rollout(iteration)
        loop.update(rollout, iteration, learning_rate(iteration, iterations, rate, FALLING))
    reached_SA = policy.table.detach() / temperature
    return world.gained(reached_SA), world.distance(reached_SA)


def test_ppo() -> None:
    gained, distance = ppo_reaches(0)
    assert gained > 0.9
    assert distance < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 8))
def test_ppo_from_other_starts(seed: int) -> None:
    gained, distance = ppo_reaches(seed, iterations=40, rate=0.08)
    assert gained > 0.9
    assert distance < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.7, 1.4])
def test_ppo_at_another_temperature(temperature: float) -> None:
    gained, distance = ppo_reaches(0, iterations=40, rate=0.08, temperature=temperature)
    assert gained > 0.9
    assert distance < 0.15


def half(new: Tensor, old: Tensor) -> Tensor:
    return kl_k1(new, old) / 2


def none(new: Tensor, old: Tensor) -> Tensor:
    return torch.zeros_like(new)


def reversed_(new: Tensor, old: Tensor) -> Tensor:
    return kl_k1(old, new)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [half, none, reversed_, kl_k3])
def test_ppo_with_a_wrong_penalty_misses_it(penalty: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppo_module, "kl_k1", penalty)
    gained, distance = ppo_reaches(0)
    assert gained < 0.8
    assert distance > 0.3


def dpo_reaches(seed: int, beta: float | None = None, swapped: float = 0.0) -> tuple[float, float]:
    """The same of the real DPO objective, on pairs whose labels are drawn with Bradley and Terry's probabilities."""
    world = World(seed, length=2)
    generator = torch.Generator().manual_seed(seed)
    p = world.log_probabilities(world.reference_SA).exp()
    drawn = torch.multinomial(p, 60_000, replacement=True, generator=generator).view(-1, 2)
    drawn = drawn[drawn[:, 0] != drawn[:, 1]]
    first_is_better = torch.sigmoid(world.reward_Y[drawn[:, 0]] - world.reward_Y[drawn[:, 1]])
    swap = (
        torch.rand(len(drawn), generator=generator) > first_is_better * (1 - swapped) + (1 - first_is_better) * swapped
    )
    drawn[swap] = drawn[swap].flip(1)
    answers = [Answer([START], answer) for answer in world.answers_YT.tolist()]
    policy = TablePolicy(world.reference_SA)
    objective = DpoObjective(
        [(answers[chosen], answers[rejected]) for chosen, rejected in drawn.tolist()],
        [],
        TablePolicy(world.reference_SA).requires_grad_(False),
        batch=200,
        accumulate=1,
        beta=beta or world.beta,
        label_smoothing=0.0,
        pad=0,
        seed=seed,
    )
    engine, steps = tiny.engine(policy, weight_decay=0), len(drawn) // 200
    for step in range(steps):
        batches = objective.batches(step)
        weights = [objective.weight(batch) for batch in batches]
        engine.train_step(batches, weights, objective.loss, learning_rate(step, steps, 0.2, FALLING), 100)
    return world.gained(policy.table.detach()), world.distance(policy.table.detach())


@pytest.mark.parametrize("seed", range(3))
def test_dpo(seed: int) -> None:
    """Seven of eight seeds gain over .98; one whose best answers the reference hardly ever gives gains .94."""
    gained, distance = dpo_reaches(seed)
    assert gained > 0.96
    assert distance < 0.12


@pytest.mark.parametrize("wrong", [{"beta": 0.25}, {"beta": 1.0}, {"swapped": 0.2}], ids=str)
def test_dpo_with_another_beta_or_false_labels_misses_it(wrong: dict[str, float]) -> None:
    gained, distance = dpo_reaches(0, **wrong)
    assert gained < 0.92
    assert distance > 0.2
