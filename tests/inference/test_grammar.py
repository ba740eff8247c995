"""Answers of a given form: what is drawn matches, whatever the weights, and ends where it is complete."""

import json
import re
import sys

import pytest

import tiny
from groundup.errors import GroundupError
from groundup.inference.engine import InferenceEngine
from groundup.inference.grammar import Grammar
from groundup.inference.sampling import Sampling
from groundup.inference.text import TextAnswer
from groundup.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=290)
PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "age": {"enum": [7, 42]}}}
PERSON |= {"required": ["name", "age"], "additionalProperties": False}


@pytest.fixture(scope="module")
def engine() -> InferenceEngine:
    """Of a model whose vocabulary has more rows than the tokenizer."""
    return InferenceEngine(tiny.model(5, vocab_size=TOKENIZER.vocabulary_size + 6).eval(), slots=4)


def answers(engine: InferenceEngine, grammar: Grammar) -> list[TextAnswer]:
    ids = TOKENIZER.encode("the cat")
    found = [
        TextAnswer(engine, TOKENIZER, ids, max_tokens=60, sampling=Sampling(temperature, seed=seed), grammar=grammar)
        for seed, temperature in enumerate((0.0, 1.0, 1.0, 1.0))
    ]
    engine.run()
    return found


def test_regular_expressions_and_grammars(engine: InferenceEngine) -> None:
    for grammar, pattern in (
        (Grammar.regex("(yes|no)!{1,3}"), "(yes|no)!{1,3}"),
        (Grammar.lark('start: "the" " " ("cat" | "mat")'), "the (cat|mat)"),
    ):
        for answer in answers(engine, grammar):
            assert answer.finish_reason == "stop"
            assert re.fullmatch(pattern, answer.take())


def test_json_of_a_schema(engine: InferenceEngine) -> None:
    for answer in answers(engine, Grammar.json(PERSON)):
        found = json.loads(answer.take())
        assert found["age"] in (7, 42) and len(found["name"]) <= 5


def test_what_is_not_understood_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GroundupError, match="nothing"):
        Grammar.json({"type": "nothing"})
    with pytest.raises(GroundupError, match="regex"):
        Grammar.regex("(")
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(GroundupError, match=r"groundup\[grammar\]"):
        Grammar.regex("a")
