"""With guesses an answer is what it is without: token by token, in fewer steps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from groundup.inference import InferenceEngine, ModelDraft, NgramDraft, Sampling
from groundup.inference.request import Draft, Request
from groundup.model.decoder import CustomLanguageModel

PROMPTS = [[7, 8, 9, 10, 11, 12, 7, 8], [3], [1, 2, 1, 2, 1, 2]]


def model(seed: int = 5, **fields: object) -> CustomLanguageModel:
    made = tiny.model(seed=seed, tie_word_embeddings=False, max_position_embeddings=48, **fields).eval()
    with torch.no_grad():
        made.lm_head.weight.mul_(3)  # so that a draft is right now and then, also when tokens are drawn
    return made


def answers(
    made: CustomLanguageModel, draft: Draft | None, slots: int, sampling: Sampling | None = None
) -> tuple[list[Request], int]:
    """The requests, and how many steps they took."""
    engine, steps = InferenceEngine(made, slots=slots, draft=draft), 0
    requests = [
        engine.add(prompt, max_tokens=30, stop={60}, sampling=sampling or Sampling(1.0, seed=row), top=2)
        for row, prompt in enumerate(PROMPTS)
    ]
    while engine.busy:
        engine.step()
        steps += 1
    return requests, steps


class Perfect:
    """Knows the answers, but for every fifth token."""

    def __init__(self, known: list[Request]) -> None:
        self._known = [[*request.prompt, *request.tokens] for request in known]

    def propose(self, tokens: list[int], count: int) -> list[int]:
        whole = next(known for known in self._known if known[: len(tokens)] == tokens)
        return [token if index % 5 else 59 - token for index, token in enumerate(whole)][len(tokens) :][:count]


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("sampling", [None, Sampling(), Sampling(0.7, top_p=0.9, presence_penalty=0.3, seed=4)])
def test_answers_do_not_change(slots: int, sampling: Sampling | None) -> None:
    """Greedy or drawn, under filters and penalties; good guesses save steps, and bad ones change nothing."""
    made = model()
    alone, steps = answers(made, None, slots, sampling)
    drafts: dict[str, Draft] = {
        "good": Perfect(alone),
        "ngrams": NgramDraft(longest=2, shortest=1),
        "a model's": ModelDraft(InferenceEngine(model(seed=6), slots=2)),
        "its own": ModelDraft(InferenceEngine(made, slots=2)),
    }
    for name, draft in drafts.items():
        found, fewer = answers(made, draft, slots, sampling)
        for one, other in zip(found, alone, strict=True):
            assert (one.tokens, one.finish) == (other.tokens, other.finish), name
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
            assert len(one.top_logprobs) == len(one.tokens)
        assert fewer <= steps
        if name == "good":
            assert fewer < 0.6 * steps


def test_a_conversation_continues_after_guesses() -> None:
    """What was guessed wrongly is not taken for something that the cache holds."""
    made = model()
    engine = InferenceEngine(made, slots=2, draft=ModelDraft(InferenceEngine(model(seed=6), slots=1)))
    first = engine.add(PROMPTS[0], max_tokens=9)
    engine.run()
    turn = [*first.prompt, *first.tokens, 4, 5]
    second, plain = engine.add(turn, max_tokens=9), InferenceEngine(made, slots=1)
    engine.run()
    expected = plain.add(turn, max_tokens=9)
    plain.run()
    assert second.tokens == expected.tokens


@given(st.lists(st.integers(0, 3), max_size=20), st.integers(1, 5))
def test_ngrams_propose_what_followed(tokens: list[int], count: int) -> None:
    found = NgramDraft().propose(tokens, count)
    joined = "".join(map(str, tokens))
    for size in (3, 2):
        start = joined[:-1].rfind(joined[-size:]) if len(joined) > size else -1
        if start >= 0:
            assert found == tokens[start + size :][:count]
            return
    assert found == []
