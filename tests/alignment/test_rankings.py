"""Rankings of several answers: closed forms of their losses, a prompt that counts once, a model that learns them."""

import itertools
import math

import pytest
import torch
from torch import tensor

import tiny
from groundup.alignment import fit_reward
from groundup.alignment.answers import Answer
from groundup.alignment.losses import bradley_terry, plackett_luce, ranking_loss
from groundup.alignment.rankings import collate_rankings, ranked
from groundup.tokenizer.tokenizer import Tokenizer

SCORES = tensor([0.3, -1.2, 2.0, 0.7], dtype=torch.float64)


def order_of(tiers: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pairs = [
        (better, worse)
        for rank, tier in enumerate(tiers)
        for lower in tiers[rank + 1 :]
        for better in tier
        for worse in lower
    ]
    better, worse = tensor(pairs).unbind(1)
    return better, worse, torch.zeros(len(pairs), dtype=torch.long)


def probability(order: tuple[int, ...], scores: list[float]) -> float:
    """Plackett-Luce by its definition: the best is drawn, then the next of the rest, and so on."""
    weights, result = [math.exp(score) for score in scores], 1.0
    for rank, index in enumerate(order):
        result *= weights[index] / sum(weights[one] for one in order[rank:])
    return result


def test_orders_have_their_probabilities() -> None:
    """Of all 24 orders the probabilities are those of the definition, and sum to 1; three choices make an order."""
    found = []
    for order in itertools.permutations(range(4)):
        loss = ranking_loss(SCORES, *order_of([[one] for one in order]), 1, "plackett_luce")
        found.append(math.exp(-3 * float(loss)))
        assert found[-1] == pytest.approx(probability(order, SCORES.tolist()), rel=1e-12)
        assert 3 * float(loss) == pytest.approx(float(plackett_luce(SCORES[list(order)][None])), rel=1e-12)
    assert sum(found) == pytest.approx(1)


def test_pairs_of_a_list_are_averaged() -> None:
    """Both losses are the same for two answers; equal answers are not compared, and all equal to each other but better
    than one is three choices between two."""
    pairs = [bradley_terry(SCORES[a], SCORES[b]) for a, b in itertools.combinations(range(4), 2)]
    whole = order_of([[0], [1], [2], [3]])
    assert float(ranking_loss(SCORES, *whole, 1, "bradley_terry")) == pytest.approx(float(sum(pairs)) / 6)
    two, tied = order_of([[2], [1]]), order_of([[0, 1, 2], [3]])
    for order in (two, tied):
        losses = [float(ranking_loss(SCORES, *order, 1, name)) for name in ("bradley_terry", "plackett_luce")]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("loss", ["bradley_terry", "plackett_luce"])
def test_a_ranking_counts_once(loss: str) -> None:
    """A list of four and a pair in one batch: each gives its own mean, whatever the other is."""
    answers = [Answer([1], [2 + index]) for index in range(6)]
    pairs = [(tuple(answers[i] for i in pair), 7) for pair in itertools.combinations(range(4), 2)]
    rankings = ranked([*pairs, ((answers[4], answers[5]), None)])
    assert [len(one.answers) for one in rankings] == [4, 2]
    batch = collate_rankings(rankings, pad=0)
    scores = batch.answers.ids_BT[batch.answers.answer_BT].double().sin()
    both = ranking_loss(scores, batch.better_E, batch.worse_E, batch.ranking_E, 2, loss)
    for index, one in enumerate(rankings):
        alone = collate_rankings([one], pad=0)
        own = alone.answers.ids_BT[alone.answers.answer_BT].double().sin()
        found = ranking_loss(own, alone.better_E, alone.worse_E, alone.ranking_E, 1, loss)
        assert float(both[index]) == pytest.approx(float(found))


@pytest.mark.parametrize("loss", ["bradley_terry", "plackett_luce"])
def test_reward_model_learns_lists(loss: str) -> None:
    tokenizer = Tokenizer.train(["good fair poor bad"], vocabulary=264)
    lists = [(f"{number}?", "good", "fair", "poor", "bad") for number in range(6)]
    model = tiny.model(1, vocab_size=tokenizer.vocabulary_size)
    _, rows = fit_reward(model, tokenizer, lists, batch=6, epochs=30, learning_rate=3e-3, loss=loss)
    assert rows[-1]["accuracy"] == 1.0 and rows[-1]["loss"] < rows[0]["loss"]
