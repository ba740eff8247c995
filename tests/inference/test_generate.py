"""Answers with the cache are those of full forward passes, and sampling follows the distribution it says."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.inference.generate import Continuation, Sampling, choose, generate, stream
from groundup.model.configuration import FAMILIES, Family
from groundup.model.decoder import CustomLanguageModel

STOP = 60
prompts_ = st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=10), min_size=1, max_size=5)


def untied(context: int = 64, stops: float = 1.0) -> CustomLanguageModel:
    """A tied random model says the same token for ever. `stops` above 1 makes the stop token likelier."""
    made = tiny.model(seed=5, tie_word_embeddings=False, max_position_embeddings=context)
    with torch.no_grad():
        made.lm_head.weight[STOP] *= stops
    return made


def by_full_passes(model: CustomLanguageModel, prompt: list[int], max_tokens: int) -> Continuation:
    ids, answer = list(prompt), list[int]()
    with torch.no_grad():
        while len(answer) < max_tokens and len(ids) < model.config.max_position_embeddings:
            answer.append(int(model(torch.tensor([ids]))[0][0, -1].argmax()))
            ids.append(answer[-1])
            if answer[-1] == STOP:
                break
    return Continuation(answer, answer[-1] == STOP)


@settings(max_examples=25, deadline=None)
@given(prompts_, st.integers(1, 12))
def test_greedy_answers_are_those_of_full_passes(prompts: list[list[int]], max_tokens: int) -> None:
    """Rows of unequal lengths that end at unequal times; each as if it were alone."""
    made = untied(context=20, stops=2.0)
    found = generate(made, prompts, stop=STOP, max_tokens=max_tokens)
    assert found == [by_full_passes(made, prompt, max_tokens) for prompt in prompts]
    for prompt, one in zip(prompts, found, strict=True):
        assert list(stream(made, prompt, stop=STOP, max_tokens=max_tokens)) == one.tokens


@pytest.mark.parametrize("family", ["gpt2", "mistral", "qwen3", "mixtral"])
def test_so_are_those_of_other_families(family: Family) -> None:
    """Rows of unequal lengths, past the window, up to the end of the context."""
    fields = FAMILIES[family] | {"max_position_embeddings": 20, "tie_word_embeddings": False}
    made = tiny.model(seed=5, **fields | ({"sliding_window": 4} if family == "mistral" else {}))
    prompts = [[1, 2, 3, 4, 5, 6, 7], [8], [9, 10, 11]]
    found = generate(made, prompts, stop=STOP, max_tokens=30)
    assert found == [by_full_passes(made, prompt, 30) for prompt in prompts]
    assert len({token for one in found for token in one.tokens}) > 5


def test_rows_do_end_at_unequal_times() -> None:
    made = untied(stops=2.0)
    found = generate(made, [[row, row + 1] for row in range(0, 50, 5)], stop=STOP, max_tokens=12)
    assert len({len(one.tokens) for one in found if one.ended}) > 2
    assert any(not one.ended for one in found)
    for one in found:
        assert one.ended == (one.tokens[-1] == STOP)
        assert STOP not in one.tokens[:-1]


def test_an_answer_ends_with_the_context() -> None:
    made = untied(context=16)
    prompts = [list(range(length)) for length in (1, 9, 15)]
    found = generate(made, prompts, stop=-1, max_tokens=100)
    assert [len(one.tokens) for one in found] == [15, 7, 1]
    assert not any(one.ended for one in found)


def test_a_prompt_beyond_the_context_loses_its_beginning() -> None:
    made, long = untied(context=16), tiny.ids(1, 40)[0].tolist()
    (found,) = generate(made, [long], stop=-1, max_tokens=5)
    assert found == by_full_passes(made, long[-15:], 5)
    assert len(found.tokens) == 1
    assert list(stream(made, long, stop=-1, max_tokens=5)) == found.tokens


def test_sampled_answers_are_a_function_of_the_generator() -> None:
    made = untied()

    def sample(seed: int) -> list[Continuation]:
        generator = torch.Generator().manual_seed(seed)
        return generate(made, [[1], [2, 3]], stop=STOP, max_tokens=9, sampling=Sampling(1.0), generator=generator)

    assert sample(1) == sample(1) != sample(2)


def test_the_cache_may_be_bf16() -> None:
    made = untied()
    (rounded,) = generate(made, [[1, 2]], stop=-1, max_tokens=4, dtype=torch.bfloat16)
    assert len(rounded.tokens) == 4
    assert made.lm_head.weight.dtype == torch.float32


LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def frequencies(sampling: Sampling, draws: int = 40_000) -> dict[int, float]:
    generator = torch.Generator().manual_seed(0)
    tokens = choose(LOGITS.expand(draws, -1), sampling, generator).tolist()
    return {token: count / draws for token, count in Counter(tokens).items()}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampling_frequencies(temperature: float) -> None:
    """Within five standard errors of the softmax at that temperature."""
    weights = [math.exp(float(logit) / temperature) for logit in LOGITS]
    found = frequencies(Sampling(temperature))
    for token, weight in enumerate(weights):
        p = weight / sum(weights)
        assert abs(found.get(token, 0) - p) < 5 * math.sqrt(p * (1 - p) / 40_000) + 1e-9


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.01, 1), (0.55, 1), (0.57, 2), (0.76, 2), (0.78, 3), (0.93, 4), (0.999, 6)]
)
def test_top_p_keeps_the_smallest_set_that_holds_it(top_p: float, kept: int) -> None:
    """The likeliest tokens hold .561, .767, .892, .968, .996 and 1 together."""
    p = LOGITS.softmax(0)
    assert p.cumsum(0).tolist() == pytest.approx([0.561, 0.767, 0.892, 0.968, 0.996, 1], abs=1e-3)
    found = frequencies(Sampling(1.0, top_p))
    assert set(found) == set(range(kept))
    for token in range(kept):
        share = float(p[token] / p[:kept].sum())
        assert abs(found[token] - share) < 5 * math.sqrt(share * (1 - share) / 40_000) + 1e-9


def test_rows_are_sampled_each_from_its_own() -> None:
    logits = torch.tensor([[0.0, 50.0, 0.0], [50.0, 0.0, 0.0], [0.0, 0.0, 50.0]])
    for sampling in (Sampling(0.0), Sampling(1.0), Sampling(1.0, 0.9)):
        assert choose(logits, sampling, torch.Generator().manual_seed(0)).tolist() == [1, 0, 2]


def test_a_greedy_tie_goes_to_the_smaller_id() -> None:
    assert choose(torch.tensor([[0.0, 3.0, 3.0], [1.0, 1.0, 1.0]]), Sampling(), None).tolist() == [1, 0]


def test_temperature_near_0_is_greedy() -> None:
    assert frequencies(Sampling(1e-3), 500) == {0: 1.0}
