"""Many prompts at once by ids, and as text: cut to the context, n of the best, stop strings over token borders."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from groundup.inference import InferenceEngine, Sampling, TextAnswer, generate
from groundup.inference import engine as engine_module
from groundup.inference.continuation import continue_prompts
from groundup.model.decoder import CustomLanguageModel

TOKENIZER = tiny.tokenizer()
SHAPE = {"vocab_size": TOKENIZER.vocabulary_size, "tie_word_embeddings": False}
MODEL = tiny.model(seed=1, **SHAPE, max_position_embeddings=64).eval()
TALKER = CustomLanguageModel(tiny.shape(**SHAPE, max_position_embeddings=4096)).eval()


def says(tokens: list[int], **options: object) -> tuple[list[str], TextAnswer]:
    """(the pieces, the answer) of a model that gives these tokens."""
    given_tokens = iter(tokens)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "choose", lambda *_: [next(given_tokens)])
        engine = InferenceEngine(TALKER, slots=1)
        answer = TextAnswer(engine, TOKENIZER, [1], max_tokens=len(tokens), **options)  # type: ignore[arg-type]
        pieces = []
        while not answer.done:
            engine.step()
            pieces.append(answer.take())
    return pieces, answer


@given(st.text("abc", min_size=1, max_size=12), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_the_text_ends_before_the_first_stop_string(text: str, stop: list[str]) -> None:
    """And nothing is shown that might have to be taken back, nor held back without need."""
    pieces, answer = says([token for character in text for token in TOKENIZER.encode(character)], stop=stop)
    ends = [text.find(string) for string in stop if string in text]
    # tokens come one by one: the string that is complete first counts
    complete = [(text.find(string) + len(string), text.find(string)) for string in stop if string in text]
    first = min(end for end, _ in complete) if complete else None
    start = min(start for end, start in complete if end == first) if complete else len(text)
    assert "".join(pieces) == text[:start]
    assert answer.finish_reason == ("stop" if ends else "length")
    shown = ""
    for number, piece in enumerate(pieces[:-1], start=1):
        shown += piece
        held = text[:number][len(shown) :]
        assert any(string.startswith(held) for string in stop) or not held


def test_prompts_are_cut_to_the_context_and_end_with_it() -> None:
    long = tiny.ids(1, 90, vocabulary=40)[0].tolist()
    (found,) = continue_prompts(MODEL, [long], stop=(), max_tokens=5)
    (cut,) = continue_prompts(MODEL, [long[-63:]], stop=(), max_tokens=5)
    assert found == cut
    assert len(found.tokens) == 1 and not found.ended
    assert [len(one.tokens) for one in continue_prompts(MODEL, [[1], [1] * 60], stop=(), max_tokens=100)] == [63, 4]
    assert continue_prompts(MODEL, [], stop=(), max_tokens=1) == []


def test_seeds_make_samples_reproducible() -> None:
    sample = [
        continue_prompts(MODEL, [[1], [2, 3]], stop=(), max_tokens=9, sampling=Sampling(1.0), seeds=seeds)
        for seeds in ([1, 2], [1, 2], [1, 3])
    ]
    assert sample[0] == sample[1]
    assert sample[0][0] == sample[2][0]
    assert sample[0][1] != sample[2][1]


def test_n_and_best_of() -> None:
    """The best are those with the highest mean log-probability of all that were drawn."""
    sampling = Sampling(1.5, seed=3)
    every = generate(MODEL, TOKENIZER, ["ab", "c"], max_tokens=8, sampling=sampling, n=6)
    assert len(every) == 12 and len(set(every[:6])) > 3
    best = generate(MODEL, TOKENIZER, ["ab", "c"], max_tokens=8, sampling=sampling, n=2, best_of=6)
    assert len(best) == 4
    assert set(best[:2]) <= set(every[:6]) and set(best[2:]) <= set(every[6:])

    engine = InferenceEngine(MODEL, slots=6)
    answers = [
        TextAnswer(
            engine, TOKENIZER, TOKENIZER.encode("ab"), max_tokens=8, sampling=Sampling(1.5, seed=3 + number), top=0
        )
        for number in range(6)
    ]
    engine.run()
    assert best[0] == max(answers, key=lambda one: one.mean_logprob).take()


def test_greedy_text_is_the_model_s() -> None:
    ids = TOKENIZER.encode("ab")
    (expected,) = continue_prompts(MODEL, [ids], stop={TOKENIZER.end, TOKENIZER.end_of_text}, max_tokens=9)
    assert generate(MODEL, TOKENIZER, "ab", max_tokens=9) == [TOKENIZER.decode(expected.tokens, skip_special=True)]
    with torch.no_grad():
        assert expected.tokens[0] == int(MODEL(torch.tensor([ids]))[0][0, -1].argmax())
