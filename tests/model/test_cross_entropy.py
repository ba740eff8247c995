"""The fused head and loss are PyTorch's linear and cross_entropy, and never hold all logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.model import cross_entropy
from groundup.model.cross_entropy import linear_cross_entropy


def drawn(rows: int, words: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 24, generator=generator).to(dtype).requires_grad_()
    weight = (0.3 * torch.randn(words, 24, generator=generator)).to(dtype).requires_grad_()
    targets = torch.randint(words, (rows,), generator=generator)
    targets[::5] = -100
    return x, weight, targets


def plain(x: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, z_loss: float) -> Tensor:
    logits = F.linear(x, weight)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    loss = F.cross_entropy(logits, targets, reduction="sum")
    return loss + z_loss * logits.logsumexp(-1).square()[targets != -100].sum()


@pytest.mark.parametrize(("softcap", "z_loss"), [(None, 0.0), (2.0, 0.0), (None, 0.1), (1.5, 0.01)])
@pytest.mark.parametrize(("held", "cached"), [(1, 1), (3, 2), (7, 3), (1000, 7), (1000, 1000)])
def test_loss_and_gradients(
    softcap: float | None, z_loss: float, held: int, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows of logits are held, and however many of them are turned at a time."""
    monkeypatch.setattr(cross_entropy, "LOGITS_BYTES", held * 8 * 37)
    monkeypatch.setattr(cross_entropy, "CACHED_BYTES", cached * 4 * 37)
    ours, theirs = drawn(20, 37, torch.float64), drawn(20, 37, torch.float64)
    loss = linear_cross_entropy(*ours, softcap=softcap, z_loss=z_loss)
    expected = plain(*theirs, softcap, z_loss)
    (3 * loss).backward()
    (3 * expected).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, rtol=1e-5, atol=1e-6)


def test_in_bf16_it_is_as_near_to_the_truth_as_the_plain_way() -> None:
    exact = drawn(200, 500)
    plain(*exact, None, 0.0).backward()
    distances = []
    for function in (lambda *given: linear_cross_entropy(*given), lambda *given: plain(*given, None, 0.0)):
        x, weight, targets = drawn(200, 500)
        with torch.autocast("cpu", torch.bfloat16):
            function(x, weight, targets).backward()
        distances.append(
            [float((a.grad - b.grad).norm() / b.grad.norm()) for a, b in ((x, exact[0]), (weight, exact[1]))]
        )
    for ours, theirs in zip(*distances, strict=True):
        assert ours < 1.5 * theirs < 0.03


def test_without_gradients_none_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation computes no matmuls but those of the logits."""
    x, weight, targets = drawn(20, 37)
    monkeypatch.setattr(torch, "mm", None)
    with torch.no_grad():
        assert linear_cross_entropy(x, weight, targets).item() == pytest.approx(
            plain(x, weight, targets, None, 0.0).item(), rel=1e-5
        )


def test_no_rows_are_a_loss_of_zero() -> None:
    x, weight, targets = drawn(20, 37)
    loss = linear_cross_entropy(x[:0], weight, targets[:0])
    assert loss.item() == 0


def test_nothing_to_predict_is_a_loss_of_zero() -> None:
    x, weight, targets = drawn(20, 37)
    loss = linear_cross_entropy(x, weight, torch.full_like(targets, -100))
    loss.backward()
    assert loss.item() == 0
    assert x.grad is not None
    assert not x.grad.any()
