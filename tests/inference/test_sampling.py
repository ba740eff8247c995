"""Sampled tokens have the distribution that each option defines, by chi-square tests against exact probabilities."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from groundup.errors import GroundupError
from groundup.inference import sampling as sampling_module
from groundup.inference.sampling import History, Sampling, choose, random_numbers

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
DRAWS = 20_000


def counts(logits: torch.Tensor, sampling: Sampling) -> Counter[int]:
    uniforms = random_numbers(0).random(DRAWS).tolist()
    return Counter(choose(logits.expand(DRAWS, -1), [sampling] * DRAWS, uniforms))


def exact(sampling: Sampling) -> list[float]:
    """By the definitions, token by token."""
    p = [math.exp(float(logit) / sampling.temperature) for logit in LOGITS]
    p = [weight / sum(p) for weight in p]
    order = sorted(range(len(p)), key=lambda token: -p[token])
    kept = set(order[: sampling.top_k or None])
    kept = {token for token in kept if p[token] >= sampling.min_p * p[order[0]]}
    total, before, nucleus = sum(p[token] for token in kept), 0.0, set()
    for token in order:
        if token in kept:
            if before < sampling.top_p * total:
                nucleus.add(token)
            before += p[token]
    weights = [weight if token in nucleus else 0.0 for token, weight in enumerate(p)]
    return [weight / sum(weights) for weight in weights]


OPTIONS = [
    Sampling(0.5),
    Sampling(1.0),
    Sampling(2.0),
    Sampling(1.0, top_p=0.55),
    Sampling(1.0, top_p=0.78),
    Sampling(1.3, top_p=0.97),
    Sampling(1.0, top_k=1),
    Sampling(1.0, top_k=3),
    Sampling(1.0, min_p=0.2),
    Sampling(1.0, top_k=4, top_p=0.9),
    Sampling(0.8, min_p=0.1, top_p=0.9, top_k=5),
]


@pytest.mark.parametrize("sampling", OPTIONS, ids=str)
@pytest.mark.parametrize("candidates", [2, 256])
def test_frequencies_are_the_exact_probabilities(
    sampling: Sampling, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling_module, "CANDIDATES", candidates)
    found, wanted = counts(LOGITS, sampling), exact(sampling)
    possible = [token for token, p in enumerate(wanted) if p > 0]
    assert set(found) <= set(possible)
    if len(possible) > 1:
        distance = sum((found[token] - wanted[token] * DRAWS) ** 2 / (wanted[token] * DRAWS) for token in possible)
        freedom = torch.tensor(len(possible) - 1.0)
        p_value = torch.special.gammaincc(freedom / 2, torch.tensor(distance / 2))
        assert p_value > 1e-3


def test_rows_are_sampled_each_by_its_own_options() -> None:
    """Greedy ones and sampled ones together, each with what it would get alone."""
    logits = torch.randn(len(OPTIONS) + 1, 500, generator=torch.Generator().manual_seed(0))
    samplings = [*OPTIONS, Sampling()]
    uniforms = random_numbers(1).random(len(samplings)).tolist()
    together = choose(logits, samplings, uniforms)
    alone = [choose(logits[row : row + 1], [one], [uniforms[row]])[0] for row, one in enumerate(samplings)]
    assert together == alone
    assert together[-1] == int(logits[-1].argmax())


def test_a_greedy_tie_goes_to_the_smaller_id() -> None:
    logits = torch.tensor([[0.0, 3.0, 3.0], [1.0, 1.0, 1.0]])
    assert choose(logits, [Sampling()] * 2, [0.0, 0.0]) == [1, 0]


def test_tokens_without_probability_never_come() -> None:
    """At either end of the uniform numbers."""
    logits = torch.tensor([[-math.inf, 1.0, -math.inf, 1.0, -math.inf]])
    for u, token in ((0.0, 1), (0.5 - 1e-9, 1), (0.5, 3), (1 - 2**-53, 3)):
        assert choose(logits, [Sampling(1.0)], [u]) == [token]


def test_penalties_and_bias() -> None:
    sampling = Sampling(
        repetition_penalty=2.0, presence_penalty=0.25, frequency_penalty=0.5, logit_bias={4: 7.0, 0: -1.0}
    )
    history = History(sampling, prompt=[0, 5])
    for token in (1, 1, 5):
        history.add(token)
    logits = LOGITS.clone()
    history.adjust(logits)
    expected = [2.0 / 2 - 1, 1.0 / 2 - 0.25 - 1.0, 0.5, 0.0, -1.0 + 7, -3.0 * 2 - 0.25 - 0.5]
    assert np.allclose(logits.numpy(), expected)
    assert sampling.adjusts
    assert not Sampling(1.0, top_p=0.5).adjusts


def test_options_outside_of_their_range_are_refused() -> None:
    for options in ({"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}, {"min_p": 2}):
        (name,) = options
        with pytest.raises(GroundupError, match=name):
            Sampling(**options)
    with pytest.raises(GroundupError, match="repetition_penalty"):
        Sampling(repetition_penalty=0)


def test_the_smallest_numbers_leave_the_likeliest_token() -> None:
    """Float32 has no room for them: a division by 0, or no token left, would follow."""
    logits = torch.tensor([[1.0, 5.0, 2.0]])
    for sampling in (Sampling(5e-324), Sampling(1.0, top_p=5e-324), Sampling(1e-5, top_k=2, top_p=1e-300)):
        assert choose(logits, [sampling], [0.999]) == [1]
