"""The losses give the field's golden numbers (OpenRLHF, verl, eric-mitchell/direct-preference-optimization agree on
them) and what algebra says of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, tensor

from groundup.alignment.advantages import (
    KlController,
    generalised,
    group_mean,
    leave_one_out,
    token_rewards,
    whiten,
)
from groundup.alignment.losses import (
    PREFERENCE_LOSSES,
    PairLogProbabilities,
    bradley_terry,
    kl_k1,
    kl_k2,
    kl_k3,
    kto,
    plackett_luce,
    policy_loss,
    policy_ratio,
    preference_loss,
    value_loss,
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
    return generalised(rewards, V, MASK, 1.0, 0.95)


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
    assert float(policy_loss(NEW, OLD, white, MASK, 0.2)) == pytest.approx(0.0422978, abs=1e-6)
    by_token = policy_loss(NEW, OLD, white, MASK, 0.2, reduction="none")
    assert float((by_token.sum(1) / MASK.sum(1)).mean()) == pytest.approx(0.1723756, abs=1e-6)
    assert float(policy_loss(NEW, OLD, white, MASK, 0.2, reduction="sum")) == pytest.approx(7 * 0.0422978, abs=1e-5)
    assert not by_token[MASK == 0].any()
    ratio = policy_ratio(NEW, OLD, MASK)
    assert int(((ratio < 0.8) | (ratio > 1.2))[MASK > 0].sum()) == 3
    higher = policy_loss(NEW, OLD, white, MASK, 0.2, clip_high=10.0, reduction="none")
    assert close(higher[white > 0], (-white * ratio)[white > 0].tolist())  # nothing good is clipped any more
    assert torch.equal(higher[white < 0], by_token[white < 0])


def test_the_ratio_of_an_answer_is_a_geometric_mean() -> None:
    found = policy_ratio(NEW, OLD, MASK, "sequence")
    assert close(found, [[math.exp((0.2 + 0 - 0.5 + 0) / 4)], [math.exp((0.2 - 0.2 + 0) / 3)]])
    ones = torch.ones_like(MASK)
    assert close(policy_loss(NEW, OLD, ones, MASK, 0.2, ratio="sequence", reduction="none"), (-found * MASK).tolist())


def test_advantages_of_groups() -> None:
    """The field's figures for the rewards 1, 0, 0, 1 of a group; a second group changes nothing of the first."""
    rewards = tensor([1, 0, 0, 1, 5, 5, 5, 6], dtype=F64)
    assert close(group_mean(rewards, 4)[:4], [0.866024, -0.866024, -0.866024, 0.866024])
    assert close(group_mean(rewards, 4, eps=1e-4)[:2], [0.865875, -0.865875])
    assert close(group_mean(rewards, 4, std=False)[:4], [0.5, -0.5, -0.5, 0.5])
    assert close(leave_one_out(rewards, 4)[:4], [0.666667, -0.666667, -0.666667, 0.666667])
    assert not group_mean(torch.ones(4), 4).any()


def test_value_loss() -> None:
    returns = raw()[1]
    assert float(value_loss(V_NEW, V, returns, MASK, 0.2)) == pytest.approx(0.2787943, abs=1e-6)


CHOSEN, REJECTED = tensor([-10, -7.5, -3], dtype=F64), tensor([-12, -7, -3], dtype=F64)
REF_CHOSEN, REF_REJECTED = tensor([-11, -7, -3], dtype=F64), tensor([-11.5, -7.2, -3], dtype=F64)


LENGTHS = tensor([5, 3, 2], dtype=F64), tensor([4, 4, 1], dtype=F64)
PAIRS = PairLogProbabilities(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, *LENGTHS)


@pytest.mark.parametrize(
    ("loss", "settings", "expected"),
    [
        ("sigmoid", {}, 0.6809546),
        ("sigmoid", {"label_smoothing": 0.1}, 0.6836212),
        ("ipo", {}, 23.246666),
        ("robust", {"label_smoothing": 0.1}, 0.6776213),
        ("robust", {}, 0.6809546),
    ],
)
def test_preferences(loss: str, settings: dict[str, float], expected: float) -> None:
    assert float(preference_loss(PAIRS, loss, 0.1, **settings)) == pytest.approx(expected, abs=1e-6)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def test_preferences_per_token_and_without_a_reference() -> None:
    """By the papers' formulas, pair by pair in plain numbers."""
    beta = 0.4
    for row in range(3):
        one = [float(x[row]) for x in (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, *LENGTHS)]
        chosen, rejected, ref_chosen, ref_rejected, n, m = one
        margin = (chosen - ref_chosen) / n - (rejected - ref_rejected) / m
        p, q = math.exp(chosen / n), math.exp(rejected / m)
        odds = math.log(p / (1 - p)) - math.log(q / (1 - q))
        expected = {
            "sigmoid_per_token": -log_sigmoid(beta * margin),
            "ipo_per_token": (margin - 1 / (2 * beta)) ** 2,
            "hinge": max(0.0, 1 - beta * ((chosen - ref_chosen) - (rejected - ref_rejected))),
            "simpo": -log_sigmoid(beta * (chosen / n - rejected / m) - beta / 2),
            "orpo": -chosen / n - beta * log_sigmoid(odds),
        }
        for loss, value in expected.items():
            assert float(preference_loss(PAIRS, loss, beta, reduction="none")[row]) == pytest.approx(value), loss
            with_nll = preference_loss(PAIRS, loss, beta, nll=0.3, reduction="none")[row]
            assert float(with_nll) == pytest.approx(value - 0.3 * chosen / n)


def test_single_answers() -> None:
    """KTO by its formula: losses below 1/2 on the right side of the baseline."""
    gain, good = tensor([1.0, -2.0, 0.5], dtype=F64), tensor([True, True, False])
    found = kto(gain, good, 0.25, 0.1, "none")
    expected = [1 - 1 / (1 + math.exp(-0.1 * s)) for s in (0.75, -2.25, -0.25)]
    assert close(found, expected)


def test_rankings() -> None:
    """The probabilities of a ranking's choices multiply, and of two answers it is Bradley and Terry's."""
    scores = tensor([[0.3, -1.0, 2.0]], dtype=F64)
    weights = scores.exp()[0]
    probability = weights[0] / weights.sum() * weights[1] / weights[1:].sum()
    assert float(plackett_luce(scores)) == pytest.approx(-math.log(float(probability)))
    assert float(plackett_luce(scores[:, :2])) == pytest.approx(float(bradley_terry(scores[:, 0], scores[:, 1])))


def test_bradley_terry() -> None:
    chosen, rejected = tensor([1, 0.2, 0], dtype=F64), tensor([0, 0.5, 0], dtype=F64)
    assert float(bradley_terry(chosen, rejected)) == pytest.approx(0.6202547, abs=1e-6)
    assert float(bradley_terry(chosen, rejected, 0.5)) == pytest.approx(0.8730848, abs=1e-6)


def test_at_the_start() -> None:
    """Nothing has moved: DPO and Bradley-Terry cost ln 2, every ratio is 1, every KL is 0."""
    start = PairLogProbabilities(CHOSEN, REJECTED, CHOSEN, REJECTED, *LENGTHS)
    for loss in ("sigmoid", "sigmoid_per_token", "robust"):
        found = preference_loss(start, loss, 0.1, 0.2, reduction="none")
        assert torch.allclose(found, torch.full_like(found, math.log(2)))
    assert torch.allclose(bradley_terry(SCORE, SCORE), tensor(math.log(2), dtype=F64))
    for estimator in (kl_k1, kl_k2, kl_k3):
        assert not estimator(OLD, OLD).any()
    logp = OLD.clone().requires_grad_()
    white = whiten(raw()[0], MASK)
    policy_loss(logp, OLD, white, MASK, 0.2, reduction="sum").backward()
    assert logp.grad is not None
    assert torch.allclose(logp.grad, -white)  # the policy gradient itself


@pytest.mark.parametrize("loss", sorted(PREFERENCE_LOSSES))
def test_every_preference_loss_prefers_the_chosen_answer(loss: str) -> None:
    """Its gradient makes the chosen answer likelier than the rejected one, also at the edge of a probability of 1."""
    for chosen_value in (-3.0, -1e-9):
        chosen, rejected = (tensor([value], dtype=F64, requires_grad=True) for value in (chosen_value, -3.0))
        reference, two = tensor([-3.0], dtype=F64), tensor([2.0], dtype=F64)
        pairs = PairLogProbabilities(chosen, rejected, reference, reference, two, two)
        preference_loss(pairs, loss, 0.1).backward()
        assert chosen.grad is not None and torch.isfinite(chosen.grad).all() and float(chosen.grad) <= 0
        if loss == "imitate":  # reads the chosen answer alone
            assert rejected.grad is None and float(chosen.grad) == -1 / 2
        else:
            assert rejected.grad is not None and float(rejected.grad) > 0


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
    found, returns = generalised(rewards, values, mask, gamma, lam)
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
