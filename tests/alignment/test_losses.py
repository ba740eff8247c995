"""The losses give the field's golden numbers (OpenRLHF, verl, eric-mitchell/direct-preference-optimization agree on
them) and what algebra says of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, tensor

from groundup.alignment.losses import (
    KlController,
    advantages,
    bradley_terry,
    dpo,
    kl_k1,
    kl_k2,
    kl_k3,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)

F64 = torch.float64
NEW = tensor([[-1, -0.5, -2, -0.3], [-0.7, -1.2, -0.1, -0.9]], dtype=F64)
OLD = tensor([[-1.2, -0.5, -1.5, -0.3], [-0.9, -1, -0.1, -0.9]], dtype=F64)
REF = tensor([[-1.1, -0.6, -1.4, -0.3], [-1, -1.1, -0.4, -0.9]], dtype=F64)
MASK = tensor([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=F64)
V = tensor([[0.1, 0.2, 0, -0.1], [0.3, 0.1, 0.2, 0]], dtype=F64)
V_NEW = tensor([[0.4, 0.2, 0.3, -0.1], [0.3, -0.4, 0.2, 0]], dtype=F64)
SCORE = tensor([1, -0.5], dtype=F64)


def raw() -> tuple[Tensor, Tensor]:
    rewards = token_rewards(SCORE, kl_k1(OLD, REF), MASK, 0.1)
    return advantages(rewards, V, MASK, 1.0, 0.95)


def close(found: Tensor, expected: object) -> bool:
    return torch.allclose(found, tensor(expected, dtype=F64), rtol=0, atol=1e-6)


def test_kl_of_whole_answers() -> None:
    for estimator, expected in (
        (kl_k1, [-0.1, 0.5]),
        (kl_k2, [0.015, 0.055]),
        (kl_k3, [0.015179, 0.050493]),
    ):
        assert close((estimator(OLD, REF) * MASK).sum(1), expected)


def test_raw_and_whitened_advantages() -> None:
    found, returns = raw()
    assert close(found, [[0.772388, 0.697250, 0.955, 1.1], [-0.783325, -0.6035, -0.73, 0]])
    assert torch.equal(returns[MASK > 0], (found + V)[MASK > 0])
    assert returns[1, 3] == 0
    white = whiten(found, MASK)
    assert float(white[0, 0]) == pytest.approx(0.664663, abs=1e-6)
    assert float(white.sum()) == pytest.approx(0, abs=1e-9)
    assert float((white**2).sum() / 6) == pytest.approx(1, abs=1e-6)
    kept = whiten(found, MASK, keep_mean=True)
    assert float(kept.sum() / 7) == pytest.approx(float(found.sum() / 7), abs=1e-9)


def test_policy_loss() -> None:
    white = whiten(raw()[0], MASK)
    loss, watch = policy_loss(NEW, OLD, white, MASK, 0.2)
    assert float(loss / 7) == pytest.approx(0.0422978, abs=1e-6)
    by_row = [policy_loss(*(x[row : row + 1] for x in (NEW, OLD, white, MASK)), 0.2)[0] for row in (0, 1)]
    assert float(by_row[0] / 4 + by_row[1] / 3) / 2 == pytest.approx(0.1723756, abs=1e-6)
    assert float(watch["clip_fraction"] / 7) == pytest.approx(1 / 7)
    assert float(watch["approximate_kl"] / 7) == pytest.approx(0.0264286, abs=1e-6)
    assert float(watch["ratio"] / 7) == pytest.approx(float(((NEW - OLD).exp() * MASK).sum() / 7))


def test_value_loss() -> None:
    returns = raw()[1]
    assert float(value_loss(V_NEW, V, returns, MASK, 0.2) / 7) == pytest.approx(0.2787943, abs=1e-6)


CHOSEN, REJECTED = tensor([-10, -7.5, -3], dtype=F64), tensor([-12, -7, -3], dtype=F64)
REF_CHOSEN, REF_REJECTED = tensor([-11, -7, -3], dtype=F64), tensor([-11.5, -7.2, -3], dtype=F64)


def test_dpo() -> None:
    given_ = (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)
    assert float(dpo(*given_, 0.1).mean()) == pytest.approx(0.6809546, abs=1e-6)
    assert float(dpo(*given_, 0.1, 0.1).mean()) == pytest.approx(0.6836212, abs=1e-6)


def test_bradley_terry() -> None:
    chosen, rejected = tensor([1, 0.2, 0], dtype=F64), tensor([0, 0.5, 0], dtype=F64)
    assert float(bradley_terry(chosen, rejected).mean()) == pytest.approx(0.6202547, abs=1e-6)
    assert float(bradley_terry(chosen, rejected, 0.5).mean()) == pytest.approx(0.8730848, abs=1e-6)


def test_at_the_start() -> None:
    """Nothing has moved: DPO and Bradley-Terry cost ln 2, every ratio is 1, nothing is clipped, every KL is 0."""
    assert torch.allclose(dpo(CHOSEN, REJECTED, CHOSEN, REJECTED, 0.1, 0.2), tensor(math.log(2), dtype=F64))
    assert torch.allclose(bradley_terry(SCORE, SCORE), tensor(math.log(2), dtype=F64))
    for estimator in (kl_k1, kl_k2, kl_k3):
        assert not estimator(OLD, OLD).any()
    logp = OLD.clone().requires_grad_()
    white = whiten(raw()[0], MASK)
    loss, watch = policy_loss(logp, OLD, white, MASK, 0.2)
    assert float(watch["ratio"]) == 7
    assert not watch["clip_fraction"] and not watch["approximate_kl"]
    loss.backward()
    assert logp.grad is not None
    assert torch.allclose(logp.grad, -white)  # the policy gradient itself


def discounted(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """Generalised advantages by their definition, a sum over all later steps (arXiv 1506.02438, equation 16)."""
    following = [*values[1:], 0.0]
    deltas = [r + gamma * after - v for r, v, after in zip(rewards, values, following, strict=True)]
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas))) for t in range(len(deltas))]


numbers = st.floats(-3, 3)


@given(
    rows=st.lists(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), min_size=1, max_size=4),
    gamma=st.floats(0.5, 1),
    lam=st.floats(0, 1),
    rubbish=numbers,
)
def test_advantages_against_their_definition(
    rows: list[list[tuple[float, float]]], gamma: float, lam: float, rubbish: float
) -> None:
    """Each row on its own; a critic's values after an answer's end do not matter."""
    longest = max(map(len, rows))
    mask = tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in rows], dtype=F64)
    rewards = tensor([[r for r, _ in row] + [0.0] * (longest - len(row)) for row in rows], dtype=F64)
    values = tensor([[v for _, v in row] + [rubbish] * (longest - len(row)) for row in rows], dtype=F64)
    found, returns = advantages(rewards, values, mask, gamma, lam)
    for index, row in enumerate(rows):
        expected = discounted([r for r, _ in row], [v for _, v in row], gamma, lam)
        assert found[index, : len(row)].tolist() == pytest.approx(expected, abs=1e-9)
        assert not found[index, len(row) :].any() and not returns[index, len(row) :].any()


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), beta=st.floats(0, 1))
def test_a_score_sits_on_the_last_token(lengths: list[int], beta: float) -> None:
    mask = (torch.arange(max(lengths)) < tensor(lengths)[:, None]).double()
    kl = torch.linspace(-1, 1, mask.numel(), dtype=F64).view(mask.shape)
    score = torch.arange(1.0, len(lengths) + 1, dtype=F64)
    found = token_rewards(score, kl, mask, beta)
    for row, length in enumerate(lengths):
        expected = [-beta * float(k) for k in kl[row, :length]]
        expected[-1] += row + 1
        assert found[row, :length].tolist() == pytest.approx(expected)
        assert not found[row, length:].any()


def test_adaptive_kl() -> None:
    """Beta *= 1 + clip(KL / target - 1, +-.2) n / horizon."""
    for kl, factor in (
        (6.0, 1.0),
        (6.6, 1 + 0.1 * 256 / 10_000),
        (60.0, 1 + 0.2 * 256 / 10_000),
        (0.0, 1 - 0.2 * 0.0256),
    ):
        controller = KlController(0.15, 6.0, 10_000)
        controller.update(kl, 256)
        assert controller.beta == pytest.approx(0.15 * factor)
    fixed = KlController(0.15, None, 10_000)
    fixed.update(60.0, 256)
    assert fixed.beta == 0.15
