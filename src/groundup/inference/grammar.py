"""Answers of a given form: JSON of a schema, a regular expression, or a grammar, by llguidance (the extra `grammar`).

At each token the library says which may come next; the others' logits become minus infinity. What is left keeps its
proportions, so that the answer is the model's own among those that fit. Nothing is promised of an answer that ends at
its token limit: it may be the beginning of one that fits.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.tokenizer.tokenizer import Tokenizer

Allowed = Callable[[list[int]], Tensor | None]
"""Of the tokens of an answer so far: those that may come next, bool [V]."""


@dataclass(frozen=True)
class Grammar:
    """What an answer must be.

        >>> from groundup.inference import Grammar
        >>> yes_or_no = Grammar.regex("yes|no")
        >>> person = Grammar.json({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})

    Raises:
        GroundupError: llguidance isn't installed, or it can't make sense of the schema, expression or grammar.
    """

    source: str
    """As llguidance writes grammars."""

    def __post_init__(self) -> None:
        error = _library().LLMatcher.validate_grammar(self.source)
        if error:
            raise GroundupError(f"the answer's form is not understood: {error}", do="correct the schema or grammar")

    @classmethod
    def json(cls, schema: Mapping[str, Any] | None = None) -> "Grammar":
        """JSON that a schema (2020-12, most of it) describes; None: any object. It is written without blanks."""
        wanted = {"type": "object"} if schema is None else dict(schema)
        compact = {"item_separator": ",", "key_separator": ":", "whitespace_flexible": False}
        return cls(_made(_library().LLMatcher.grammar_from_json_schema, json.dumps(wanted), overrides=compact))

    @classmethod
    def regex(cls, pattern: str) -> "Grammar":
        """Text that a regular expression (of Rust's `regex`, without anchors) matches as a whole."""
        return cls(_made(_library().LLMatcher.grammar_from_regex, pattern))

    @classmethod
    def lark(cls, rules: str) -> "Grammar":
        """Text of a context-free grammar in Lark's notation; its `start` rule is the answer."""
        return cls(_made(_library().LLMatcher.grammar_from_lark, rules))

    def follow(self, tokenizer: Tokenizer, stop: Collection[int], size: int) -> Allowed:
        """Of one answer, what may come next.

        Args:
            stop: tokens that end the answer, allowed where it is complete.
            size: of the model's vocabulary, at least the tokenizer's.
        """
        matcher = _library().LLMatcher(_tokens(tokenizer), self.source)
        stop_ids, read = sorted(stop), 0

        def allowed(tokens: list[int]) -> Tensor:
            nonlocal read
            matcher.consume_tokens(tokens[read:])
            read = len(tokens)
            mask_V = torch.zeros(size, dtype=torch.bool)
            if not matcher.is_stopped():
                bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
                found = np.unpackbits(bits, bitorder="little")[: tokenizer.vocabulary_size]
                mask_V[: len(found)] = torch.from_numpy(found).bool()
            mask_V[stop_ids] = matcher.is_accepting() or matcher.is_stopped()
            return mask_V

        return allowed


def _made(make: Callable[..., str], *arguments: Any, **options: Any) -> str:
    try:
        return make(*arguments, **options)
    except ValueError as error:
        raise GroundupError(f"the answer's form is not understood: {error}", do="correct it") from error


def _library() -> Any:
    try:
        import llguidance
    except ModuleNotFoundError as error:
        what = "answers of a given form need llguidance, which is not installed"
        raise GroundupError(what, do='run: pip install "groundup[grammar]"') from error
    return llguidance


class _TokenBytes:
    """A tokenizer as llguidance reads it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.eos_token_id, self.bos_token_id = tokenizer.end_of_text, None
        self.special_token_ids = sorted(tokenizer.special_ids.values())
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocabulary_size)]
        self._tokenizer = tokenizer

    def __call__(self, text: str | bytes) -> list[int]:
        return self._tokenizer.encode(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


@lru_cache(maxsize=4)
def _tokens(tokenizer: Tokenizer) -> Any:
    """Made once for a tokenizer: the library sorts its tokens into a tree."""
    library = _library()
    return library.LLTokenizer(library.TokenizerWrapper(_TokenBytes(tokenizer)))
