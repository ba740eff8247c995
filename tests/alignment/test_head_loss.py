"""The loss of SFT, which never holds all logits, is the sum of the log-probabilities that others are made of."""

import pytest
import torch

import tiny
from groundup.alignment.answers import Answer, AnswerBatch, answer_log_probabilities, answer_nats, collate
from groundup.alignment.packing import pack
from groundup.model.cross_entropy import linear_cross_entropy

ANSWERS = [Answer([3, 4, 5], [6, 7, 8, 9]), Answer([1], [2] * 11, (True, False) * 5 + (True,)), Answer([9, 9], [1])]


@pytest.mark.parametrize("batch", [collate(ANSWERS, 0), pack(ANSWERS, 24, 0)], ids=["padded", "packed"])
@pytest.mark.parametrize("changes", [{}, {"final_logit_softcapping": 5.0}, {"mup_base_width": 16}], ids=str)
def test_values_and_gradients(batch: AnswerBatch, changes: dict) -> None:
    """Also of heads that bend or scale their logits."""
    made, other = (tiny.model(2, tie_word_embeddings=False, **changes) for _ in range(2))
    whole = -answer_log_probabilities(made, batch).sum()
    whole.backward()
    found = answer_nats(other, batch)
    found.backward()
    assert found.item() == pytest.approx(whole.item(), rel=1e-5)
    assert tiny.same_gradients(made, other)


def test_all_logits_are_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for the backward pass is at most as large as the head's matrix, an eighth of the logits."""
    made = tiny.model(vocab_size=4096, max_position_embeddings=320)
    monkeypatch.setattr("groundup.model.cross_entropy.LOGITS_BYTES", 8 * 4 * 4096)
    sizes: list[int] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.numel())
        return x

    assert made.cross_entropy is linear_cross_entropy
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        answer_nats(made, collate([Answer([1], [2] * 256)], 0)).backward()
    assert max(sizes) <= 4096 * 32  # the head's matrix
