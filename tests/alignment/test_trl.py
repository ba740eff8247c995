"""Losses and gradients are those of TRL 1.16: its own trainers computed the file (tools/trl_losses.py), on the same
weights, tokens, advantages and old log-probabilities."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import tiny
from groundup.alignment.answers import Answer, collate, log_probabilities
from groundup.alignment.configuration import GrpoConfig
from groundup.alignment.data.records import task_of
from groundup.alignment.losses import kl_k3, policy_loss
from groundup.alignment.policy import Experience, PolicyObjective
from groundup.alignment.preference import PreferenceObjective
from groundup.alignment.rankings import ranked
from groundup.alignment.reward import RewardModel, RewardObjective
from groundup.alignment.rollout import Rollout, Sampler
from groundup.alignment.sft import SftObjective
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel

HERE = Path(__file__).parent
FILE = HERE / "trl-1.16.0.safetensors"
TRL = load_file(FILE)
TOOL = HERE.parents[1] / "tools" / "trl_losses.py"
SHAPE = LLMConfig(
    vocab_size=24,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=16,
    rms_norm_eps=1e-5,
    rope_theta=10_000.0,
    tie_word_embeddings=False,
)
BETA, SMOOTHING, CENTERING, KL = 0.3, 0.1, 0.01, 0.04  # as in the tool
DRAWN = {"accumulate": 1, "pad": 0, "seed": 0}
TOLERANCE = 1e-6


def model(name: str) -> CustomLanguageModel:
    made = CustomLanguageModel(SHAPE, seed=None).double()
    made.load_state_dict({key.split("/")[1]: x for key, x in TRL.items() if key.startswith(f"{name}/")})
    return made  # so that rounding can't hide a difference, nor make one


def answers() -> list[Answer]:
    rows = zip(TRL["batch/prompts"], TRL["batch/answers"], TRL["batch/mask"].sum(1), strict=True)
    return [Answer(prompt.tolist(), answer[:length].tolist()) for prompt, answer, length in rows]


def pairs() -> list[tuple[Answer, Answer]]:
    rows = answers()
    return [(rows[0], rows[2]), (rows[1], rows[3])]


def agrees(case: str, loss: Tensor, trained: nn.Module, prefix: str = "") -> None:
    """The loss, and the gradient by all weights, to one part in a million of its norm.

    `prefix`: of a language model's weights among the trained ones.
    """
    trained.zero_grad()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(TRL[f"{case}/loss"]), rel=TOLERANCE, abs=TOLERANCE)
    mine = dict(trained.named_parameters())
    theirs = {key.split("/")[2]: x for key, x in TRL.items() if key.startswith(f"{case}/gradient/")}
    assert len(theirs) >= 11
    ours = [mine[name if name in mine else prefix + name].grad for name in theirs]
    apart = [(own - gradient).norm() for own, gradient in zip(ours, theirs.values(), strict=True) if own is not None]
    assert len(apart) == len(theirs)
    whole = torch.stack([gradient.norm() for gradient in theirs.values()]).norm()
    assert float(torch.stack(apart).norm()) <= TOLERANCE * float(whole)


def test_sft() -> None:
    policy = model("policy")
    objective, batch = SftObjective([], [], batch=4, **DRAWN), collate(answers(), 0)
    agrees("sft", objective.loss(policy, batch)[0] / objective.weight(batch), policy)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("sigmoid", "sigmoid"),
        ("robust", "robust"),
        ("ipo", "ipo_per_token"),
        ("hinge", "hinge"),
        ("sigmoid_norm", "sigmoid_per_token"),
    ],
)
def test_preferences(theirs: str, ours: str) -> None:
    """TRL's `sigmoid` ignores label smoothing, and only its `robust` reads it here."""
    policy = model("policy")
    objective = PreferenceObjective(
        tiny.referred(pairs(), model("reference"), DRAWN["pad"]),
        [],
        loss=ours,
        beta=BETA,
        label_smoothing=SMOOTHING if ours == "robust" else 0.0,
        batch=2,
        **DRAWN,
    )
    batch = objective.batches(0)[0]
    agrees(f"dpo.{theirs}", objective.loss(policy, batch)[0] / objective.weight(batch), policy)


def test_reward() -> None:
    """Without the answer's surprise, which TRL's reward models don't see."""
    reward = RewardModel(model("policy")).double()
    with torch.no_grad():
        reward.score.weight.copy_(TRL["batch/head"])
        reward.surprise.weight.zero_()
    objective = RewardObjective(ranked((pair, None) for pair in pairs()), [], centering=CENTERING, batch=2, **DRAWN)
    batch = objective.batches(0)[0]
    agrees("reward", objective.loss(reward, batch)[0] / objective.weight(batch), reward, "language.")


def known(name: str) -> Tensor:
    """Log-probabilities of the answers' tokens under a model, [B, R]."""
    batch = collate(answers(), 0)
    with torch.no_grad():
        return batch.rows(log_probabilities(model(name), batch)[0])


def experience() -> Experience:
    """The four answers as a rollout of a policy that has since moved: some ratios are clipped."""
    mask_BR, old_BR = TRL["batch/mask"].double(), known("policy") + TRL["batch/shift"] * TRL["batch/mask"]
    zeros_BR = torch.zeros_like(mask_BR)
    rollout = Rollout(
        [task_of("")] * 4,
        answers(),
        torch.zeros(4),
        torch.ones(4, dtype=torch.bool),
        mask_BR,
        old_BR,
        old_BR,
        known("reference"),
        zeros_BR,
        zeros_BR,
        16,
    )
    advantages_BR = TRL["batch/advantages"][:, None] * mask_BR
    return Experience(rollout, advantages_BR, zeros_BR, mask_BR, 0.0, {})


POLICIES: dict[str, dict[str, Any]] = {
    "grpo": {"normaliser": "sequence"},
    "dr_grpo": {"normaliser": "constant"},
    "dapo": {"normaliser": "token"},
    "bnpo": {"preset": "dapo"},  # of one micro-batch they are the same
    "rloo": {"preset": "rloo", "group": 4, "kl": 0.0},
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset's own normaliser and ratio; TRL's bounds of the clipping."""
    preset = {"preset": name if name in ("grpo", "dr_grpo", "dapo", "rloo") else "dapo"}
    shared = {"rollouts": 4, "minibatch": 4, "max_answer_tokens": 7, "group": 4, "clip_high": 0.28, "temperature": 1.0}
    shared["epochs"] = 2  # the policy is not the one that sampled
    config = GrpoConfig(**preset | shared | {"kl": 0.0} | POLICIES[name])
    policy = model("policy")
    sampler = Sampler([task_of("")], [[3]], None, None, config, stop=2, pad=0, seed=0)  # type: ignore[arg-type]
    objective = PolicyObjective(sampler, config)
    held = experience()
    weights_BR = objective.weights(held.rollout.mask_BR)
    objective.experience = Experience(held.rollout, held.advantages_BR, held.returns_BR, weights_BR, 0.0, {})
    batch = objective.batches(0)[0]
    loss, statistics = objective.loss(policy, batch)
    assert statistics["clip_fraction"] > 0
    agrees(f"policy.{name}", loss / objective.weight(batch), policy)


def test_the_published_grpo_with_k3_in_the_loss() -> None:
    """From the same functions; `grpo:` itself does not offer it, since its gradient is biased (test_optimum)."""
    policy, held = model("policy"), experience()
    batch = collate(answers(), 0)
    mask_BR, rollout = held.rollout.mask_BR, held.rollout
    logp_BR = batch.rows(log_probabilities(policy, batch)[0])
    loss_BR = policy_loss(logp_BR, rollout.old_BR, held.advantages_BR, mask_BR, 0.2, 0.28, reduction="none")
    loss_BR = loss_BR + KL * kl_k3(logp_BR, rollout.reference_BR) * mask_BR
    agrees("policy.grpo_k3", (loss_BR.sum(1) / mask_BR.sum(1)).mean(), policy)


@pytest.mark.slow
def test_the_file_is_what_trl_computes() -> None:
    """Where TRL is installed."""
    trl = pytest.importorskip("trl")
    assert f"trl-{trl.__version__}" == FILE.stem
    spec = importlib.util.spec_from_file_location("trl_losses", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = tool
    spec.loader.exec_module(tool)
    computed = tool.compute()
    assert computed.keys() == TRL.keys()
    for name, value in computed.items():
        assert torch.allclose(value, TRL[name], rtol=1e-5, atol=1e-6), name
