"""An iteration of PPO, part by part, against the same quantities from each answer alone; and the other estimators."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny
from groundup.alignment.answers import collate, log_probabilities
from groundup.alignment.configuration import GrpoConfig, PolicyConfig, PpoConfig
from groundup.alignment.critic import ScalarModel, ValuedPolicy
from groundup.alignment.data.records import task_of
from groundup.alignment.policy import Experience, PolicyObjective
from groundup.alignment.reward import RewardModel, Scale
from groundup.alignment.rewards.model import ModelReward
from groundup.alignment.rollout import Rollout, Sampler
from groundup.errors import GroundupError
from groundup.inference.continuation import continue_prompts
from groundup.parallel.engine import ModelOnDevice
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.training.loop import TrainPlan, train
from groundup.training.optimizer import make_optimizer
from resuming import Every, KilledError, Outcome, outcome

STOP, PAD = 60, 56
PROMPTS = [[first, *range(first)] for first in range(1, 9)]
SCALE = Scale(0.3, 1.7)
SMALL = {"rollouts": 12, "minibatch": 5, "max_answer_tokens": 7, "temperature": 0.8, "iterations": 4, "kl": 0.1}


def config(**changes: Any) -> PpoConfig:
    return PpoConfig(learning_rate=1e-3, **(SMALL | changes))


def shaped(seed: int) -> Any:
    """A model that ends about every fourth answer early."""
    made = tiny.model(seed, tie_word_embeddings=False, max_position_embeddings=32)
    with torch.no_grad():
        made.lm_head.weight[STOP] *= 2
    return made


class Made:
    """A policy with all that trains it."""

    def __init__(
        self, settings: PolicyConfig, policy_seed: int = 0, precision: str = "fp32", weights: float = 0
    ) -> None:
        """`weights` moves those of policy and critic, as if another process had begun elsewhere."""

        def engine(model: nn.Module) -> SingleDevice:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.01 * weights)
            return SingleDevice(model, make_optimizer(settings.optimizer), torch.device("cpu"), precision)

        critic, policy = ScalarModel(shaped(3)), shaped(policy_seed)
        if settings.valued:
            policy = critic = ValuedPolicy(policy, settings.critic_speed)
        with torch.no_grad():
            critic.score.weight.normal_(generator=torch.Generator().manual_seed(0))
        self.config = settings
        self.policy = engine(policy)
        self.critic = engine(critic) if settings.advantage == "gae" and not settings.valued else None
        self.reference, self.reward = shaped(0), RewardModel(shaped(2))
        scored = ModelReward(ModelOnDevice(self.reward, torch.device("cpu"), precision), SCALE, PAD)
        tasks = [task_of(str(prompt)) for prompt in PROMPTS]
        self.sampler = Sampler(tasks, PROMPTS, scored, self.reference, settings, stop=STOP, pad=PAD, seed=11)
        self.objective = PolicyObjective(self.sampler, settings, self.critic)

    def sample(self, iteration: int) -> Any:
        return self.rollout(iteration).answers

    def rollout(self, iteration: int) -> Rollout:
        return self.sampler.rollout(iteration, self.policy, self.critic)

    def experience(self, iteration: int) -> Experience:
        self.objective.experience = self.objective.estimate(self.rollout(iteration))
        return self.objective.experience

    def update(self, experience: Experience, iteration: int, rate: float) -> dict[str, float]:
        """All updates of an iteration, as the loop makes them; the means of what is watched."""
        self.objective.experience = experience
        updates = range(iteration * self.objective.updates, (iteration + 1) * self.objective.updates)
        watched: dict[str, list[float]] = {}
        for update in updates:
            batches = self.objective.batches(update)
            weights = [self.objective.weight(batch) for batch in batches]
            result = self.policy.train_step(batches, weights, self.objective.loss, rate, self.config.clip_norm)
            for name, value in (result.statistics | self.objective.after(update, batches, rate, result)).items():
                watched.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in watched.items()}


def loop(policy_seed: int = 0, precision: str = "fp32", weights: float = 0, **changes: Any) -> Made:
    return Made(config(**changes), policy_seed, precision, weights)


def answer_alone(made: Made, rollout: Rollout, row: int) -> dict[str, Tensor]:
    """What is known of one answer, with nothing padded and no other answer near."""
    batch = collate([rollout.answers[row]], PAD)
    temperature = made.config.temperature
    assert made.critic is not None
    with torch.no_grad():
        return {
            "logp": log_probabilities(made.policy.model, batch, temperature)[0],
            "reference": log_probabilities(made.reference, batch, temperature)[0],
            "values": made.critic.model.values(batch),
            "score": (made.reward.scores(batch)[0] - SCALE.mean) / SCALE.deviation,
        }


def test_a_rollout_is_what_each_answer_is_alone() -> None:
    """Log-probabilities, values, rewards and advantages, by definition (lambda 1: the return less the value)."""
    made = loop(policy_seed=1, gae_lambda=1.0, missing_end_penalty=2.0)
    experience = made.experience(0)
    rollout = experience.rollout
    ends, raw, kls, scores = 0, [], [], []
    for row, answer in enumerate(rollout.answers):
        alone, length = answer_alone(made, rollout, row), len(answer.answer)
        ended = answer.answer[-1] == STOP
        ends += ended
        assert ended or length == 7
        assert STOP not in answer.answer[:-1]
        assert rollout.mask_BR[row].tolist() == [1.0] * length + [0.0] * (7 - length)
        assert torch.allclose(rollout.old_BR[row, :length], alone["logp"], atol=1e-4)
        assert torch.allclose(rollout.values_BR[row, :length], alone["values"], atol=1e-4)
        kl = alone["logp"] - alone["reference"]
        rewards = -0.1 * kl
        rewards[-1] += alone["score"] - (0.0 if ended else 2.0)
        to_come = rewards.flip(0).cumsum(0).flip(0)
        assert torch.allclose(experience.returns_BR[row, :length], to_come, atol=1e-3)
        raw.append(to_come - alone["values"])
        kls.append(float(kl.sum()))
        scores.append(float(alone["score"]))
        assert not experience.returns_BR[row, length:].any() and not experience.advantages_BR[row, length:].any()
    assert 0 < ends < 12
    joined = torch.cat(raw)
    whitened = (joined - joined.mean()) / joined.std()
    assert torch.allclose(experience.advantages_BR[rollout.mask_BR > 0], whitened, atol=1e-3)
    assert experience.figures["kl"] == pytest.approx(sum(kls) / 12, abs=1e-3)
    assert experience.figures["score"] == pytest.approx(sum(scores) / 12, abs=1e-3)
    assert experience.figures["ended"] == pytest.approx(ends / 12)
    values = rollout.values_BR[rollout.mask_BR > 0]
    returns = experience.returns_BR[rollout.mask_BR > 0]
    explained = 1 - (returns - values).var(correction=0) / returns.var(correction=0)
    assert experience.figures["explained_variance"] == pytest.approx(float(explained), abs=1e-3)


def test_answers_are_sampled_from_the_current_policy() -> None:
    """A function of the iteration and the weights, at the temperature asked for, from the whole distribution."""
    made = loop()
    first = made.sample(0)
    assert first == loop().sample(0)
    assert first != made.sample(1)
    assert first != loop(policy_seed=1).sample(0)
    assert [answer.prompt for answer in first] != [answer.prompt for answer in made.sample(1)]
    drawn = [answer.prompt for iteration in range(4) for answer in made.sample(iteration)]
    assert all(drawn.count(prompt) == 6 for prompt in PROMPTS)  # 48 draws are six epochs of eight prompts
    cold = loop(temperature=1e-4).sample(0)
    greedy = continue_prompts(made.policy.model, [one.prompt for one in cold], stop={STOP}, max_tokens=7)
    assert [one.answer for one in cold] == [one.tokens for one in greedy]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_before_the_first_update_nothing_has_moved(precision: str) -> None:
    """Ratio 1, nothing clipped, KL 0: one step at a rate of 0, in batches of another shape than the rollout's."""
    made = loop(precision=precision, epochs=1)
    experience = made.experience(0)
    seen = made.update(experience, 0, rate=0.0)
    rounding = 1e-5 if precision == "fp32" else 0.02
    assert experience.figures["kl"] == pytest.approx(0, abs=10 * rounding)
    assert seen["ratio"] == pytest.approx(1, abs=rounding)
    assert seen["clip_fraction"] == 0
    assert seen["approximate_kl"] == pytest.approx(0, abs=rounding**2 + 1e-9)


def test_a_minibatch_holds_what_the_rollout_knows_of_its_answers() -> None:
    made = loop(pack=False)
    experience = made.experience(0)
    rollout = experience.rollout
    indices = [7, 2, 11]
    minibatch = made.objective._minibatch(experience, indices, 1.0)
    for row, index in enumerate(indices):
        length = len(rollout.answers[index].answer)
        for held, known in (
            (minibatch.old_BR, rollout.old_BR),
            (minibatch.values_BR, rollout.values_BR),
            (minibatch.advantages_BR, experience.advantages_BR),
            (minibatch.returns_BR, experience.returns_BR),
        ):
            assert torch.equal(held[row, :length], known[index, :length])
        ids = minibatch.batch.ids_BT[row, minibatch.batch.answer_BT[row]]
        assert ids.tolist() == rollout.answers[index].answer


def test_accumulation_is_one_large_minibatch() -> None:
    states = []
    for accumulate in (1, 3):
        made = loop(policy_seed=1, accumulate=accumulate, clip_norm=1e9, epochs=1)
        made.update(made.experience(0), 0, rate=1e-4)
        states.append({**made.policy.state(), **made.critic.state()})
    averages = [name for name in states[0] if ".exp_avg." in name]
    assert averages
    for name in averages:
        assert (states[0][name] - states[1][name]).norm() <= 1e-3 * states[0][name].norm(), name


def test_an_update_raises_what_was_better_than_expected() -> None:
    """And moves values towards returns."""
    made = loop(epochs=1, minibatch=12, value_coefficient=1.0)
    experience = made.experience(0)
    rollout = experience.rollout
    before = (rollout.values_BR - experience.returns_BR).square().sum()
    made.update(experience, 0, rate=1e-4)
    batch = collate(rollout.answers, PAD)
    with torch.no_grad():
        logp = batch.rows(log_probabilities(made.policy.model, batch, made.config.temperature)[0])
        values = batch.rows(made.critic.model.values(batch))
    assert float(((logp - rollout.old_BR) * experience.advantages_BR).sum()) > 0
    assert (values - experience.returns_BR).square().sum() < before


def test_the_critic_learns_faster() -> None:
    made = loop(critic_speed=4.0)
    made.update(made.experience(0), 0, rate=1e-4)
    assert {group["lr"] for group in made.policy.optimizer.param_groups} == {1e-4}
    assert {group["lr"] for group in made.critic.optimizer.param_groups} == {4e-4}


def hotter(rollout: Rollout, made: Made) -> Tensor:
    """Old log-probabilities at temperature 1, where 0.8 sampled."""
    batch = collate(rollout.answers, PAD)
    with torch.no_grad():
        return batch.rows(log_probabilities(made.policy.model, batch, 1.0)[0])


def shifted(rollout: Rollout, made: Made) -> Tensor:
    """Off by one token."""
    return rollout.old_BR.roll(1, 1)


@pytest.mark.parametrize("mistake", [hotter, shifted])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_mismatch_of_sampling_and_training_is_noticed(mistake: Callable, precision: str) -> None:
    made = loop(precision=precision)
    experience = made.experience(0)
    rollout = dataclasses.replace(experience.rollout, old_BR=mistake(experience.rollout, made))
    wrong = dataclasses.replace(experience, rollout=rollout)
    with pytest.raises(GroundupError, match="log-probabilities of sampling and training differ"):
        made.update(wrong, 0, rate=1e-4)


def test_reference_and_reward_stay_frozen() -> None:
    made = loop()
    frozen = [parameter.clone() for model in (made.reference, made.reward) for parameter in model.parameters()]
    made.update(made.experience(0), 0, rate=1e-2)
    after = [parameter for model in (made.reference, made.reward) for parameter in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(frozen, after, strict=True))


def run(folder: Path, period: int, at: int = -1, inside: int = -1, critic: str = "separate") -> Outcome:
    """All iterations, or those up to the kill in iteration `at`: before its rollout, or `inside` that many updates.

    A process that resumes begins with other weights.
    """
    weights = 1 if any(folder.glob("checkpoint-*")) else 0
    made = loop(weights=weights, kl_target=0.5, kl_horizon=40, critic=critic)
    objective = made.objective

    class Killed(PolicyObjective):
        def prepare(self, step: int, engine: Any) -> dict[str, float]:
            if step == at and inside < 0:
                raise KilledError
            return super().prepare(step, engine)

        def batches(self, update: int, *args: Any) -> Any:
            if update == at * self.updates + inside and inside >= 0:
                raise KilledError
            return super().batches(update, *args)

    objective.__class__ = Killed
    figures = train(
        made.policy,
        objective,
        TrainPlan(made.config.iterations, 1e-2, made.config),
        title="ppo",
        checkpoints=Every(folder, period),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
    )
    tensors = {f"policy.{name}": tensor for name, tensor in made.policy.state().items()}
    if made.critic is not None:
        tensors |= {f"critic.{name}": tensor for name, tensor in made.critic.state().items()}
    return outcome(tensors, folder / "metrics.jsonl", figures | objective.figures | {"beta": objective.kl.beta})


@pytest.mark.parametrize(
    ("period", "inside", "critic"),
    [(1, -1, "separate"), (2, -1, "separate"), (1, 0, "separate"), (1, 3, "separate"), (1, 3, "trunk")],
)
def test_a_killed_run_resumes_bit_for_bit(period: int, inside: int, critic: str, tmp_path: Path) -> None:
    """Policy, critic, the optimizers' state, the KL penalty's weight and the metrics."""
    expected = run(tmp_path / "whole", 100, critic=critic)
    betas = [row["kl_beta"] for row in expected.rows]
    assert len(set(betas)) == len(betas) == 4
    assert all(row["gradient_norm"] > 0 for row in expected.rows)
    for at in range(4):
        folder = tmp_path / str(at)
        with pytest.raises(KilledError):
            run(folder, period, at, inside, critic)
        assert run(folder, period, critic=critic).equals(expected), at


def test_a_diverging_policy_is_an_error(tmp_path: Path) -> None:
    made = loop()
    estimate = made.objective.estimate

    def broken(rollout: Rollout) -> Experience:
        experience = estimate(rollout)
        return dataclasses.replace(experience, advantages_BR=experience.advantages_BR * float("inf"))

    made.objective.estimate = broken  # type: ignore[method-assign]
    before = {name: tensor.clone() for name, tensor in made.policy.state().items()}
    with pytest.raises(GroundupError, match="diverged"):
        train(
            made.policy,
            made.objective,
            TrainPlan(2, 1e-2, made.config),
            title="ppo",
            checkpoints=Every(tmp_path, 1),
            metrics_path=tmp_path / "metrics.jsonl",
            progress=Silent(),
        )
    assert all(torch.equal(tensor, made.policy.state()[name]) for name, tensor in before.items())


def grouped(preset: str, **changes: Any) -> Made:
    given = SMALL | {"group": 4, "minibatch": 12, "kl_in": "reward"} | changes
    return Made(GrpoConfig(preset=preset, learning_rate=1e-3, **given))


@pytest.mark.parametrize("preset", ["grpo", "dr_grpo", "dapo", "rloo", "gspo"])
def test_groups_are_compared_with_themselves(preset: str) -> None:
    """The answers of a group have one prompt, and advantages follow from the group's rewards by the definition."""
    made = grouped(preset)
    experience = made.experience(0)
    rollout, mask = experience.rollout, experience.rollout.mask_BR
    kl = ((rollout.old_BR - rollout.reference_BR) * mask).sum(1)
    reward = rollout.scores_B - (~rollout.ended_B).float() - made.config.kl * kl
    for group in range(3):
        rows = range(4 * group, 4 * group + 4)
        assert len({tuple(rollout.answers[row].prompt) for row in rows}) == 1
        of_group = reward[4 * group : 4 * group + 4]
        for row in rows:
            rest = torch.cat([reward[4 * group : row], reward[row + 1 : 4 * group + 4]])
            expected = reward[row] - (rest.mean() if preset == "rloo" else of_group.mean())
            if preset in ("grpo", "dapo", "gspo"):
                expected = expected / of_group.std()
            assert torch.allclose(experience.advantages_BR[row], expected * mask[row], atol=1e-4)


@pytest.mark.parametrize("normaliser", ["token", "sequence", "constant"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_normalisers(normaliser: str, accumulate: int) -> None:
    """The loss of a minibatch is the mean over tokens, over answers' means, or over answers' sums and a constant."""
    made = grouped("dr_grpo", normaliser=normaliser, minibatch=6, accumulate=accumulate, clip_norm=1e9)
    experience = made.experience(0)
    batches = made.objective.batches(0)
    assert len(batches) == accumulate
    total = sum(made.objective.loss(made.policy.model, batch)[0].item() for batch in batches)
    found = total / sum(made.objective.weight(batch) for batch in batches)
    rows = [one for batch in batches for one in zip(batch.advantages_BR, batch.batch.mask_BR.float(), strict=True)]
    sums = torch.stack([-(advantages * mask).sum() for advantages, mask in rows])  # the ratio is 1
    lengths = torch.stack([mask.sum() for _, mask in rows])
    divisor = {"token": lengths.sum() / 6, "sequence": lengths, "constant": torch.tensor(7.0)}[normaliser]
    assert found == pytest.approx(float((sums / divisor).mean()), abs=1e-5)
    assert experience.figures["groups_alike"] == 0
