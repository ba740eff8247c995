"""What watches a policy and holds it: the sampler against the trainer, stops, weights, packing, the true score."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from test_policy import PAD, PROMPTS, SMALL, STOP, Made, config, grouped, loop
from torch import Tensor

from groundup.alignment import rollout as rollouts
from groundup.alignment.advantages import generalised, token_rewards, whiten
from groundup.alignment.answers import collate, log_probabilities
from groundup.alignment.configuration import GrpoConfig
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.looks import Looks
from groundup.alignment.losses import kl_k1, kl_k2, kl_k3
from groundup.alignment.policy import PolicyObjective
from groundup.errors import GroundupError
from groundup.inference.continuation import continue_prompts
from groundup.inference.sampling import Sampling
from groundup.progress import Silent
from groundup.training.checkpoint import Checkpoints
from groundup.training.loop import TrainPlan, train


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_samplers_probabilities_are_the_trainers(precision: str) -> None:
    """Recorded as each token was drawn, from the cache, at the temperature."""
    made = loop(policy_seed=1, precision=precision)
    figures = made.objective.prepare(0, made.policy)
    assert 0 < figures["sampler_gap"] <= (1e-5 if precision == "fp32" else 0.02)


def test_a_sampler_with_other_probabilities_stops_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "Sampling", lambda temperature: Sampling(temperature * 1.02))
    made = loop(policy_seed=1)
    with pytest.raises(GroundupError, match=r"the sampler drew tokens with other probabilities.*fp32 explains 1e-05"):
        made.objective.prepare(0, made.policy)


def test_the_kl_by_three_estimators() -> None:
    made = loop(policy_seed=1)
    experience = made.experience(0)
    rollout = experience.rollout
    for name, estimator in (("kl", kl_k1), ("kl_k2", kl_k2), ("kl_k3", kl_k3)):
        sums = [
            float(estimator(old[:length], reference[:length]).sum())
            for old, reference, length in zip(
                rollout.old_BR, rollout.reference_BR, (len(one.answer) for one in rollout.answers), strict=True
            )
        ]
        assert experience.figures[name] == pytest.approx(sum(sums) / len(sums), abs=1e-4)
    assert experience.figures["kl_k3"] > 0


def state_after(made: Made) -> dict[str, Tensor]:
    made.update(made.experience(0), 0, rate=1e-4)
    assert made.critic is not None
    return {
        name: x for engine in (made.policy, made.critic) for name, x in engine.state().items() if ".exp_avg." in name
    }


def test_packed_updates_are_padded_ones() -> None:
    """Of policy and critic, each answer to itself; and rows are fewer."""
    settings: dict[str, Any] = {"policy_seed": 1, "clip_norm": 1e9, "epochs": 1}
    packed, padded = (state_after(loop(pack=pack, **settings)) for pack in (True, False))
    for name, average in padded.items():
        assert (packed[name] - average).norm() <= 1e-3 * average.norm(), name
    made = loop(policy_seed=1)
    made.experience(0)
    batch = made.objective.batches(0)[0]
    assert len(batch.batch.ids_BT) < len(batch.batch.mask_BR) == 5
    assert batch.batch.ids_BT.shape[1] <= 32


def test_updates_end_where_the_policy_has_moved_far_enough(tmp_path: Path) -> None:
    """A bound that nothing reaches changes nothing; one that everything exceeds leaves one update an iteration."""
    tokens = {}
    for bound in (None, 100.0, 1e-12):
        made = loop(kl_stop=bound)
        calls: list[int] = []

        class Counted(PolicyObjective):
            def after(self, update: int, *args: Any, counted: list[int] = calls) -> dict[str, float]:
                counted.append(update)
                return super().after(update, *args)

        made.objective.__class__ = Counted
        train(
            made.policy,
            made.objective,
            TrainPlan(2, 1e-4, made.config),
            title="ppo",
            checkpoints=Checkpoints(tmp_path / str(bound), made.config),
            metrics_path=tmp_path / f"{bound}.jsonl",
            progress=Silent(),
        )
        tokens[bound] = calls
    assert tokens[None] == tokens[100.0] == list(range(12))
    assert tokens[1e-12] == [0, 1, 6, 7]  # the first update of an iteration starts at a distance of 0


def test_whitened_rewards_keep_their_mean() -> None:
    made = loop(policy_seed=1, whiten_rewards=True, whiten=False, missing_end_penalty=0.0)
    experience = made.experience(0)
    rollout, mask = experience.rollout, experience.rollout.mask_BR
    kl = (rollout.old_BR - rollout.reference_BR) * mask
    rewards = whiten(token_rewards(rollout.scores_B, kl, mask, 0.1), mask, keep_mean=True)
    expected, returns = generalised(rewards, rollout.values_BR, mask, 1.0, 0.95)
    assert torch.allclose(experience.advantages_BR, expected, atol=1e-5)
    assert torch.allclose(experience.returns_BR, returns, atol=1e-5)


def test_tokens_count_by_how_much_likelier_the_trainer_makes_them() -> None:
    plain, capped = (grouped("dr_grpo", sampler_ratio=cap) for cap in (None, 1.1))
    rollout = plain.rollout(0)
    shift = torch.linspace(-0.5, 0.5, rollout.old_BR.numel()).view(rollout.old_BR.shape)
    moved = dataclasses.replace(rollout, sampled_BR=rollout.old_BR - shift)
    expected = plain.objective.estimate(moved).advantages_BR * shift.exp().clamp(max=1.1)
    assert torch.allclose(capped.objective.estimate(moved).advantages_BR, expected)


def test_effective_samples() -> None:
    """All of them while nothing has moved, fewer afterwards: (sum of ratios)^2 / (n sum of their squares)."""
    still = loop(epochs=1)
    assert still.update(still.experience(0), 0, rate=0.0)["effective_samples"] == pytest.approx(1, abs=1e-5)
    moving = loop(epochs=4)
    assert 0 < moving.update(moving.experience(0), 0, rate=3e-2)["effective_samples"] < 0.999


class FirstToken:
    """The truth: an answer is right if it begins with an even number."""

    def score(self, tasks: Any, answers: Any) -> Tensor:
        return torch.tensor([float(answer.answer[0] % 2 == 0) for answer in answers])


class Length:
    """What is trained against."""

    def score(self, tasks: Any, answers: Any) -> Tensor:
        return torch.tensor([float(len(answer.answer)) for answer in answers])


def test_the_true_score_is_measured_with_the_reward_and_the_best_checkpoint_kept(tmp_path: Path) -> None:
    made = Made(config(checkpoint_best=True))
    tasks: list[Task] = [task_of(str(prompt)) for prompt in PROMPTS]
    looks = Looks(tasks, PROMPTS, FirstToken(), Length(), max_answer_tokens=7, stop=STOP)
    given = continue_prompts(made.policy.model, PROMPTS, stop={STOP}, max_tokens=7)
    assert looks.measure(made.policy) == {
        "heldout_truth": sum(one.tokens[0] % 2 == 0 for one in given) / 8,
        "heldout_score": sum(len(one.tokens) for one in given) / 8,
        "heldout_ended": sum(one.ended for one in given) / 8,
    }
    objective = PolicyObjective(made.sampler, made.config, made.critic, looks=looks)
    truths = iter([0.2, 0.7, 0.7, 0.1])
    objective.validate = lambda engine: {"heldout_truth": next(truths)}  # type: ignore[method-assign]
    checkpoints = Checkpoints(tmp_path, made.config)
    train(
        made.policy,
        objective,
        TrainPlan(4, 1e-3, made.config, validate_every=1),
        title="ppo",
        checkpoints=checkpoints,
        metrics_path=tmp_path / "metrics.jsonl",
        progress=Silent(),
    )
    assert [folder.name.removeprefix("checkpoint-").lstrip("0") for folder in checkpoints.lasting()] == ["2"]


def test_a_smaller_minibatch_than_ranks_is_refused() -> None:
    made = loop()
    with pytest.raises(GroundupError, match="can't be divided among 3"):
        PolicyObjective(made.sampler, made.config, made.critic, ranks=3)


def one_update(**changes: Any) -> Made:
    """GRPO whose answers are trained on once and together, without a KL in the reward."""
    given = SMALL | {"group": 4, "minibatch": 12, "epochs": 1, "kl": 0.0} | changes
    return Made(GrpoConfig(learning_rate=1e-3, **given), policy_seed=1)


def test_one_update_needs_no_other_pass_of_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights, entropy and sampler's gap are those of a training that computes old log-probabilities first."""
    assert one_update().config.one_update
    for other in ({"minibatch": 6}, {"epochs": 2}, {"sampler_ratio": 2.0}, {"kl": 0.1, "kl_in": "reward"}):
        assert not one_update(**other).config.one_update
    outcomes, passes = [], list[int]()

    def counted(*given: Any) -> Any:
        passes.append(1)
        return log_probabilities(*given)

    for skipped in (True, False):
        monkeypatch.setattr(GrpoConfig, "one_update", skipped)
        made = one_update(clip_norm=1e9)
        figures = made.objective.prepare(0, made.policy)
        with monkeypatch.context() as patch:
            patch.setattr(rollouts, "log_probabilities", counted)
            passes.clear()
            made.rollout(0)
        assert bool(passes) != skipped
        figures |= made.update(made.objective.experience, 0, rate=1e-4)
        outcomes.append((figures, made.policy.state()))
    (ours, state), (theirs, expected) = outcomes
    for name in ("entropy", "sampler_gap", "kl", "approximate_kl", "ratio"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-6), name
    for name in (name for name in expected if ".exp_avg." in name):
        assert (state[name] - expected[name]).norm() <= 1e-4 * expected[name].norm() + 1e-9, name


def test_the_only_update_notices_a_sampler_with_other_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "Sampling", lambda temperature: Sampling(temperature * 1.02))
    made = one_update()
    made.objective.prepare(0, made.policy)
    with pytest.raises(GroundupError, match=r"the sampler drew tokens with other probabilities.*fp32 explains 1e-05"):
        made.update(made.objective.experience, 0, rate=1e-4)


def test_a_kl_that_changes_nothing_is_watched_in_a_part_of_the_answers() -> None:
    made = one_update(kl=0.0)
    experience = made.experience(0)
    rollout = experience.rollout
    read = ~rollout.reference_BR.isnan().any(1)
    assert read.tolist() == [row % rollouts.WATCHED == 0 for row in range(12)]
    whole = one_update(kl=1e-9).experience(0).rollout
    kl = ((whole.old_BR - whole.reference_BR) * whole.mask_BR)[read].sum() / read.sum()
    assert experience.figures["kl"] == pytest.approx(float(kl), abs=1e-5)
    assert experience.advantages_BR.isfinite().all()


@pytest.mark.parametrize("preset", ["grpo", "dr_grpo", "dapo", "rloo"])
def test_answers_that_teach_nothing_are_not_read(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is that of all answers, in every normalisation."""

    class Half:
        def score(self, tasks: Any, answers: Any) -> Tensor:
            return torch.tensor([float(a.answer[0] % 2) if len(a.prompt) % 2 else 0.0 for a in answers])

    outcomes = []
    for every in (False, True):
        made = one_update(preset=preset, clip_norm=1e9, refill=0, kl_in="loss", missing_end_penalty=0.0)
        made.sampler.reward = Half()
        if every:
            monkeypatch.setattr(PolicyObjective, "_teaching", lambda self, experience, drawn, at_least: list(drawn))
        experience = made.experience(0)
        alike = int((~experience.rollout.mixed_groups(4)).sum())
        (batch,) = made.objective.batches(0)
        assert len(batch.batch.mask_BR) == (12 if every else 12 - 4 * alike)
        assert 0 < alike < 3
        made.update(experience, 0, rate=1e-4)
        outcomes.append(made.policy.state())
    state, expected = outcomes
    averages = [name for name in expected if ".exp_avg." in name]
    assert averages
    for name in averages:
        assert (state[name] - expected[name]).norm() <= 1e-4 * expected[name].norm() + 1e-9, name


def test_where_nothing_teaches_a_micro_batch_has_an_answer() -> None:
    made = one_update(accumulate=3, missing_end_penalty=0.0)

    class Nothing:
        def score(self, tasks: Any, answers: Any) -> Tensor:
            return torch.zeros(len(answers))

    made.sampler.reward = Nothing()
    experience = made.experience(0)
    assert [len(batch.batch.mask_BR) for batch in made.objective.batches(0)] == [1, 1, 1]
    made.update(experience, 0, rate=1e-4)


def test_groups_without_variance_are_replaced() -> None:
    """A reward that only answers to some prompts can get: their groups are kept, and others sampled again."""
    made = grouped("dapo", refill=5)

    class FirstToken:
        def score(self, tasks: Any, answers: Any) -> Tensor:
            return torch.tensor([float(a.answer[0] % 2) if len(a.prompt) % 2 else 0.0 for a in answers])

    made.sampler.reward = FirstToken()
    without = made.sampler._round(0, 0, made.policy, None)
    assert not without.mixed_groups(4).all()
    rollout = made.rollout(0)
    assert rollout.mixed_groups(4).all()
    assert len(rollout) == len(without) == 12
    for row, answer in enumerate(rollout.answers):
        alone = collate([answer], PAD)
        with torch.no_grad():
            logp = log_probabilities(made.policy.model, alone, 0.8)[0]
        assert torch.allclose(rollout.old_BR[row, : len(answer.answer)], logp, atol=1e-4)
