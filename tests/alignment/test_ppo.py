"""An iteration of PPO, part by part, against the same quantities from each answer alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from groundup.alignment.answers import collate, log_probabilities
from groundup.alignment.configuration import PpoConfig
from groundup.alignment.ppo import Ppo, Rollout, train_ppo
from groundup.alignment.reward import RewardModel, ScalarModel, Scale
from groundup.errors import GroundupError
from groundup.inference.generate import generate
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.training.optimizer import make_optimizer
from resuming import Every, KilledError, Outcome, outcome

STOP, PAD = 60, 56
PROMPTS = [[place, *range(place)] for place in range(1, 9)]
SCALE = Scale(0.3, 1.7)


def config(**changes: Any) -> PpoConfig:
    given = {"rollouts": 12, "minibatch": 5, "max_answer_tokens": 7, "temperature": 0.8, "iterations": 4, "kl": 0.1}
    return PpoConfig(learning_rate=1e-3, **(given | changes))


def shaped(seed: int) -> Any:
    """A model that ends about every fourth answer early."""
    made = tiny.model(seed, tie_word_embeddings=False, max_position_embeddings=32)
    with torch.no_grad():
        made.lm_head.weight[STOP] *= 2
    return made


def loop(policy_seed: int = 0, precision: str = "fp32", weights: int = 0, **changes: Any) -> Ppo:
    """`weights` moves those of policy and critic, as if another process had begun elsewhere."""
    settings = config(**changes)

    def engine(model: torch.nn.Module) -> SingleDevice:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * weights)
        return SingleDevice(model, make_optimizer(settings.optimizer), torch.device("cpu"), precision)

    critic = ScalarModel(shaped(3))
    with torch.no_grad():
        critic.score.weight.normal_(generator=torch.Generator().manual_seed(0))
    return Ppo(
        engine(shaped(policy_seed)), engine(critic), shaped(0), RewardModel(shaped(2)), SCALE, PROMPTS, settings,
        stop=STOP, pad=PAD, seed=11,
    )  # fmt: skip


def answer_alone(made: Ppo, rollout: Rollout, row: int) -> dict[str, Tensor]:
    """What is known of one answer, with nothing padded and no other answer near."""
    batch = collate([rollout.answers[row]], PAD)
    temperature = made.config.temperature
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
    rollout = made.rollout(0)
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
        assert torch.allclose(rollout.returns_BR[row, :length], to_come, atol=1e-3)
        raw.append(to_come - alone["values"])
        kls.append(float(kl.sum()))
        scores.append(float(alone["score"]))
        assert not rollout.returns_BR[row, length:].any() and not rollout.advantages_BR[row, length:].any()
    assert 0 < ends < 12
    joined = torch.cat(raw)
    whitened = (joined - joined.mean()) / joined.std()
    assert torch.allclose(rollout.advantages_BR[rollout.mask_BR > 0], whitened, atol=1e-3)
    assert rollout.figures["kl"] == pytest.approx(sum(kls) / 12, abs=1e-3)
    assert rollout.figures["score"] == pytest.approx(sum(scores) / 12, abs=1e-3)
    assert rollout.figures["ended"] == pytest.approx(ends / 12)
    values = rollout.values_BR[rollout.mask_BR > 0]
    returns = rollout.returns_BR[rollout.mask_BR > 0]
    explained = 1 - (returns - values).var(correction=0) / returns.var(correction=0)
    assert rollout.figures["explained_variance"] == pytest.approx(float(explained), abs=1e-3)


def test_answers_are_sampled_from_the_policy_as_it_stands() -> None:
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
    greedy = generate(made.policy.model, [one.prompt for one in cold], stop=STOP, max_tokens=7)
    assert [one.answer for one in cold] == [one.tokens for one in greedy]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_before_the_first_update_nothing_has_moved(precision: str) -> None:
    """Ratio 1, nothing clipped, KL 0: one step at a rate of 0, in batches of another shape than the rollout's."""
    made = loop(precision=precision, epochs=1)
    rollout = made.rollout(0)
    seen = made.update(rollout, 0, rate=0.0)
    rounding = 1e-5 if precision == "fp32" else 0.02
    assert rollout.figures["kl"] == pytest.approx(0, abs=10 * rounding)
    assert seen["ratio"] == pytest.approx(1, abs=rounding)
    assert seen["clip_fraction"] == 0
    assert seen["approximate_kl"] == pytest.approx(0, abs=rounding**2 + 1e-9)


def test_a_minibatch_holds_what_the_rollout_knows_of_its_answers() -> None:
    made = loop()
    rollout = made.rollout(0)
    places = [7, 2, 11]
    minibatch = made._minibatch(rollout, places)
    for row, place in enumerate(places):
        length = len(rollout.answers[place].answer)
        for held, known in (
            (minibatch.old_BR, rollout.old_BR),
            (minibatch.values_BR, rollout.values_BR),
            (minibatch.advantages_BR, rollout.advantages_BR),
            (minibatch.returns_BR, rollout.returns_BR),
        ):
            assert torch.equal(held[row, :length], known[place, :length])
        ids = minibatch.batch.ids_BT[row, minibatch.batch.answer_BT[row]]
        assert ids.tolist() == rollout.answers[place].answer


def test_accumulation_is_one_large_minibatch() -> None:
    states = []
    for accumulate in (1, 3):
        made = loop(policy_seed=1, accumulate=accumulate, clip_norm=1e9, epochs=1)
        made.update(made.rollout(0), 0, rate=1e-4)
        states.append({**made.policy.state(), **made.critic.state()})
    moments = [name for name in states[0] if ".exp_avg." in name]
    assert moments
    for name in moments:
        assert (states[0][name] - states[1][name]).norm() <= 1e-3 * states[0][name].norm(), name


def test_an_update_raises_what_was_better_than_expected() -> None:
    """And moves values towards returns."""
    made = loop(epochs=1, minibatch=12, value_coefficient=1.0)
    rollout = made.rollout(0)
    before = (rollout.values_BR - rollout.returns_BR).square().sum()
    made.update(rollout, 0, rate=1e-4)
    batch = collate(rollout.answers, PAD)
    with torch.no_grad():
        logp = batch.rows(log_probabilities(made.policy.model, batch, made.config.temperature)[0])
        values = batch.rows(made.critic.model.values(batch))
    assert float(((logp - rollout.old_BR) * rollout.advantages_BR).sum()) > 0
    assert (values - rollout.returns_BR).square().sum() < before


def test_the_critic_learns_faster() -> None:
    made = loop(critic_speed=4.0)
    made.update(made.rollout(0), 0, rate=1e-4)
    assert {group["lr"] for group in made.policy.optimizer.param_groups} == {1e-4}
    assert {group["lr"] for group in made.critic.optimizer.param_groups} == {4e-4}


def hotter(rollout: Rollout, made: Ppo) -> Tensor:
    """Old log-probabilities at temperature 1, where 0.8 sampled."""
    batch = collate(rollout.answers, PAD)
    with torch.no_grad():
        return batch.rows(log_probabilities(made.policy.model, batch, 1.0)[0])


def shifted(rollout: Rollout, made: Ppo) -> Tensor:
    """Off by one token."""
    return rollout.old_BR.roll(1, 1)


@pytest.mark.parametrize("mistake", [hotter, shifted])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_mismatch_of_sampling_and_training_is_noticed(mistake: Callable, precision: str) -> None:
    made = loop(precision=precision)
    rollout = made.rollout(0)
    wrong = dataclasses.replace(rollout, old_BR=mistake(rollout, made))
    with pytest.raises(GroundupError, match="log-probabilities of sampling and training differ"):
        made.update(wrong, 0, rate=1e-4)


def test_reference_and_reward_stay_frozen() -> None:
    made = loop()
    frozen = [parameter.clone() for model in (made.reference, made.reward) for parameter in model.parameters()]
    made.update(made.rollout(0), 0, rate=1e-2)
    after = [parameter for model in (made.reference, made.reward) for parameter in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(frozen, after, strict=True))


def test_a_diverging_policy_is_an_error() -> None:
    made = loop()
    rollout = made.rollout(0)
    broken = dataclasses.replace(rollout, advantages_BR=rollout.advantages_BR * float("inf"))
    before = {name: tensor.clone() for name, tensor in made.policy.state().items()}
    with pytest.raises(GroundupError, match=r"ppo, iteration 3: .*diverged"):
        made.update(broken, 2, rate=1e-2)
    assert all(torch.equal(tensor, made.policy.state()[name]) for name, tensor in before.items())


def run(folder: Path, period: int, at: int = -1) -> Outcome:
    """All iterations, or those up to the kill in iteration `at`; a process that resumes begins with other weights."""
    made = loop(weights=1 if any(folder.glob("checkpoint-*")) else 0, kl_target=0.5, kl_horizon=40)
    whole = made.rollout

    def cut(iteration: int) -> Rollout:
        if iteration == at:
            raise KilledError
        return whole(iteration)

    made.rollout = cut  # type: ignore[method-assign]
    figures = train_ppo(
        made,
        learning_rate_peak=1e-2,
        checkpoints=Every(folder, period),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
    )
    tensors = {f"policy.{name}": tensor for name, tensor in made.policy.state().items()}
    tensors |= {f"critic.{name}": tensor for name, tensor in made.critic.state().items()}
    return outcome(tensors, folder / "metrics.jsonl", figures | {"beta": made.kl.beta})


@pytest.mark.parametrize("period", [1, 2])
def test_a_killed_run_goes_on_bit_for_bit(period: int, tmp_path: Path) -> None:
    """Policy, critic, moments, the KL penalty's weight and the metrics."""
    expected = run(tmp_path / "whole", 100)
    betas = [row["kl_beta"] for row in expected.rows]
    assert len(set(betas)) == len(betas) == 4
    assert all(row["gradient_norm"] > 0 for row in expected.rows)
    for at in range(4):
        folder = tmp_path / str(at)
        with pytest.raises(KilledError):
            run(folder, period, at)
        assert run(folder, period).equals(expected), at
