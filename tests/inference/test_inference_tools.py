"""Calls of functions: answers under the grammar always hold whole ones, and the reader finds them however they come."""

import json

import pytest

import tiny
from groundup.errors import GroundupError
from groundup.inference.engine import InferenceEngine
from groundup.inference.grammar import Grammar
from groundup.inference.sampling import Sampling
from groundup.inference.text import TextAnswer
from groundup.inference.tools import CallReader, ToolCall, call_grammar
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import Vocabulary

CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
CITY |= {"additionalProperties": False}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "How warm is it?", "parameters": CITY}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]
PLAIN = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=290)
WHOLE = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


def with_tags() -> Tokenizer:
    """A tokenizer to which both tags are special tokens, as in Qwen's models."""
    special = {**PLAIN.special_ids, "<tool_call>": PLAIN.vocabulary_size, "</tool_call>": PLAIN.vocabulary_size + 1}
    old = PLAIN.vocabulary
    return Tokenizer(Vocabulary(old.tokens, old.merges, special, old.pattern))


@pytest.mark.parametrize("one_token", [False, True])
def test_a_required_call_is_one_whatever_the_weights(one_token: bool) -> None:
    tokenizer = with_tags() if one_token else PLAIN
    engine = InferenceEngine(
        tiny.model(5, vocab_size=tokenizer.vocabulary_size, max_position_embeddings=256).eval(), slots=4
    )
    grammar = call_grammar(TOOLS[:1], required=True, one_token=one_token)
    answers = [
        TextAnswer(
            engine,
            tokenizer,
            tokenizer.encode("the cat"),
            max_tokens=150,
            sampling=Sampling(temperature, seed=seed),
            grammar=grammar,
            special=one_token,
        )
        for seed, temperature in enumerate((0.0, 1.0, 1.0))
    ]
    engine.run()
    for answer in answers:
        assert answer.finish_reason == "stop"
        content, (call,) = CallReader().feed(answer.take())
        assert content == "" and call.name == "weather" and json.loads(call.arguments)["city"] in ("Rome", "Oslo")
        assert (tokenizer.special_ids["<tool_call>"] in answer.request.tokens) if one_token else True


def accepts(grammar: Grammar, tokenizer: Tokenizer, text: str, special: bool) -> bool:
    """Whether every token of a text, and its end, may come."""
    allowed = grammar.follow(tokenizer, {tokenizer.end}, tokenizer.vocabulary_size)
    ids = [*tokenizer.encode(text, special=special), tokenizer.end]
    for number, token in enumerate(ids):
        mask_V = allowed(ids[:number])
        assert mask_V is not None
        if not mask_V[token]:
            return False
    return True


@pytest.mark.parametrize("one_token", [False, True])
def test_text_is_free_and_calls_in_it_are_not(one_token: bool) -> None:
    tokenizer = with_tags() if one_token else PLAIN
    free = call_grammar(TOOLS, required=False, one_token=one_token)
    for text in ("", 'It is warm.\n\nReally {"name": 1}.', WHOLE, f"Well.\n{WHOLE}\n{WHOLE} So.", "a < b <tool"):
        assert accepts(free, tokenizer, text, one_token), text
    wrong = [WHOLE.replace("Rome", "Bonn"), WHOLE.replace("weather", "rain"), WHOLE.replace("}}", "}, 1}"), WHOLE[:40]]
    for text in [*wrong, f"Well. {wrong[0]}"]:
        assert not accepts(free, tokenizer, text, one_token), text
    required = call_grammar(TOOLS, required=True, one_token=one_token)
    assert accepts(required, tokenizer, WHOLE, one_token)
    assert not accepts(required, tokenizer, f" {WHOLE}", one_token)
    assert not accepts(required, tokenizer, "It is warm.", one_token)


def test_a_schema_that_is_not_understood_is_refused() -> None:
    wrong = {"function": {"name": "f", "parameters": {"type": "nothing"}}}
    with pytest.raises(GroundupError, match="nothing"):
        call_grammar([wrong], required=True)


TAG = '<tool_call>{"name": "now", "arguments": {"a": "</tool_call>"}} </tool_call>'
ANSWERS = [
    ("Just text < <tool", "Just text < <tool", []),
    (f"Well. {WHOLE}\n{TAG} So.", "Well. \n So.", [("weather", '{"city": "Rome"}'), ("now", '{"a": "</tool_call>"}')]),
    (WHOLE.removesuffix("</tool_call>"), "", [("weather", '{"city": "Rome"}')]),
    (f"No {WHOLE[:40]}", f"No {WHOLE[:40]}", []),
    ("<tool_call>[1]</tool_call>", "<tool_call>[1]</tool_call>", []),
    ('<tool_call>{"name": "now", "arguments": 3}', '<tool_call>{"name": "now", "arguments": 3}', []),
]


@pytest.mark.parametrize(("text", "content", "calls"), ANSWERS)
def test_calls_are_found_however_the_text_is_cut(text: str, content: str, calls: list[tuple[str, str]]) -> None:
    for size in (1, 2, 3, 7, 1000):
        reader = CallReader()
        parts = [reader.feed(text[first : first + size]) for first in range(0, len(text), size)]
        parts.append(reader.finish())
        assert "".join(part for part, _ in parts) == content
        assert [call for _, some in parts for call in some] == [ToolCall(*call) for call in calls]
        assert reader.count == len(calls)
