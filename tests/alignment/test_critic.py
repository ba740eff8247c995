"""A critic that is a head on the policy's features, against the two losses and models that it joins."""

import pytest
import torch
from test_policy import PAD, Made, loop
from torch import nn

import tiny
from groundup.alignment.answers import collate, log_probabilities
from groundup.alignment.configuration import PolicyConfig, PpoConfig
from groundup.alignment.critic import ScalarModel, ValuedPolicy, language_of
from groundup.alignment.data.records import task_of
from groundup.alignment.fitting import fit_policy
from groundup.model.lora import add_adapters
from groundup.model.lora_config import LoraConfig


def apart(made: Made) -> tuple[nn.Module, ScalarModel]:
    """The policy and a critic of its own, with the weights of the policy that has both heads."""
    valued = made.policy.model
    assert isinstance(valued, ValuedPolicy)
    critic = ScalarModel(valued.language)
    critic.score = valued.score
    return valued.language, critic


def test_a_rollout_knows_what_both_models_would() -> None:
    made = loop(policy_seed=1, critic="trunk")
    rollout = made.rollout(0)
    language, critic = apart(made)
    for row, answer in enumerate(rollout.answers):
        batch, length = collate([answer], PAD), len(answer.answer)
        with torch.no_grad():
            logp, entropy = log_probabilities(language, batch, made.config.temperature)
            values = critic.values(batch)
        for known, alone in ((rollout.old_BR, logp), (rollout.entropy_BR, entropy), (rollout.values_BR, values)):
            assert torch.allclose(known[row, :length], alone, atol=1e-4)
    assert float(rollout.values_BR.abs().max()) > 0.1


def test_one_pass_has_the_gradients_of_both_losses() -> None:
    made = loop(policy_seed=1, critic="trunk")
    made.experience(0)
    (batch,) = made.objective.batches(0)
    loss, statistics = made.objective.loss(made.policy.model, batch)
    loss.backward()
    joint = tiny.gradients(made.policy.model)
    made.policy.model.zero_grad()
    language, critic = apart(made)
    policy_part, _ = made.objective.loss(language, batch)
    value_part, _ = made.objective._value_loss(critic, batch)
    (policy_part + value_part).backward()
    both = tiny.gradients(made.policy.model)
    assert float(statistics["value_loss"]) == pytest.approx(value_part.item(), rel=1e-5)
    assert joint.keys() == both.keys() and "score.weight" in joint
    for name, gradient in both.items():
        assert torch.allclose(joint[name], gradient, atol=1e-5 * float(gradient.abs().max()) + 1e-9), name


def test_updates_move_values_towards_returns_and_the_head_is_the_fastest() -> None:
    made = loop(critic="trunk", epochs=8, minibatch=12, value_coefficient=1.0, critic_speed=10.0, policy_seed=1)
    experience = made.experience(0)
    before = (experience.rollout.values_BR - experience.returns_BR).square().sum()
    made.update(experience, 0, rate=1e-3)
    batch = collate(experience.rollout.answers, PAD)
    with torch.no_grad():
        _, values = made.policy.model.answers(batch, made.config.temperature)
    assert (batch.rows(values) - experience.returns_BR).square().sum() < 0.5 * before
    rates = {
        name: group["lr"]
        for group in made.policy.optimizer.param_groups
        for name, parameter in made.policy.model.named_parameters()
        if any(parameter is one for one in group["params"])
    }
    assert rates.pop("score.weight") == pytest.approx(1e-2)
    assert set(rates.values()) == {1e-3}


def test_the_value_head_is_trained_with_adapters() -> None:
    valued = ValuedPolicy(tiny.model())
    add_adapters(valued, LoraConfig(rank=2))
    trained = {name.rpartition(".")[2] for name, one in valued.named_parameters() if one.requires_grad}
    assert trained == {"lora_A", "lora_B", "weight"} and valued.score.weight.requires_grad
    assert not language_of(valued).lm_head.weight.requires_grad


def test_only_an_estimator_with_a_critic_has_one() -> None:
    assert PpoConfig(critic="trunk").valued
    assert not PpoConfig().valued
    assert not PolicyConfig(preset="grpo", critic="trunk").valued


def test_fit_policy_trains_the_given_model() -> None:
    tokenizer = tiny.tokenizer()
    model = tiny.model(vocab_size=tokenizer.vocabulary_size, spread=0.05)
    before = model.lm_head.weight.detach().clone()
    settings = {"preset": "ppo", "critic": "trunk", "iterations": 2, "rollouts": 8, "minibatch": 4, "epochs": 1}
    rows = fit_policy(
        model,
        tokenizer,
        [task_of("a"), task_of("b")],
        lambda task, answer: -float(len(answer)),
        learning_rate=1e-3,
        max_answer_tokens=5,
        **settings,
    )
    assert all(row["value_loss"] > 0 for row in rows)
    assert not torch.equal(model.lm_head.weight, before)
