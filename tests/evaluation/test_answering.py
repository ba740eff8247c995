"""Every question gets the model's own answer back, in the order asked, marked against its truth."""

import pytest
import torch

import tiny
from groundup.alignment.data.examples import ask
from groundup.evaluation import answering
from groundup.evaluation.answering import Marked, Question, answer_all, rates
from groundup.evaluation.checker import token_f1
from groundup.inference.continuation import continue_prompts
from groundup.parallel.engine import ModelOnDevice
from groundup.progress import Silent

TOKENIZER = tiny.tokenizer()


def test_answers_come_back_in_the_order_of_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the batches, which are sorted by length."""
    monkeypatch.setattr(answering, "BATCH", 3)
    made = tiny.model(
        seed=1, vocab_size=TOKENIZER.vocabulary_size, tie_word_embeddings=False, max_position_embeddings=64
    )
    texts = ["b?", "Explain the thing that is in there.", "a", "What is the?", "Why?", "In a few words: the?", "the"]
    given = [continue_prompts(made, [ask(text, TOKENIZER)], stop={TOKENIZER.end}, max_tokens=6)[0] for text in texts]
    alone = [TOKENIZER.decode(one.tokens, skip_special=True) for one in given]
    assert len(set(alone)) == len(texts)
    truths = [alone[0], alone[1] + " ", "x", *alone[3:]]
    on_device = ModelOnDevice(made.requires_grad_(False), torch.device("cpu"), "fp32")
    questions = [Question(text, truth, text) for text, truth in zip(texts, truths, strict=True)]
    marked = answer_all(on_device, TOKENIZER, questions, 6, "test", Silent())
    assert [one.answer for one in marked] == alone
    assert [one.exact for one in marked] == [True, True, False, True, True, True, True]
    assert [one.f1 for one in marked] == [token_f1(a, t) for a, t in zip(alone, truths, strict=True)]
    assert [one.ended for one in marked] == [one.ended for one in given]


def test_rates() -> None:
    marked = [Marked("a", True, True, 1.0), Marked("b", True, False, 0.5), Marked("c", False, False, 0.0)]
    third = pytest.approx(1 / 3)
    assert rates(marked) == {"questions": 3, "exact_match": third, "token_f1": 0.5, "ended": pytest.approx(2 / 3)}
    assert rates([]) == {"questions": 0, "exact_match": 0.0, "token_f1": 0.0, "ended": 0.0}
