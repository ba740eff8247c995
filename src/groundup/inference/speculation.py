"""Guessing the next tokens, so that one step of the model can confirm several (arXiv 2211.17192).

The engine reads the guesses after a request's last token and draws the request's next tokens one after the other, each
from the model's own distribution at its position, as long as they are the guessed ones. What is drawn is what would be
drawn without guesses, token by token and with the same random numbers: only the number of steps changes.
"""

from collections.abc import Sequence

from groundup.inference.engine import InferenceEngine


class NgramDraft:
    """What followed when the last tokens occurred before: for answers that repeat their prompt, as in code and lists.

        >>> from groundup.inference import NgramDraft
        >>> NgramDraft().propose([5, 6, 7, 8, 1, 5, 6], count=3)
        [7, 8, 1]

    Args:
        longest, shortest: how many of the last tokens are looked up; the longest that occurred counts, at its latest
            occurrence.
    """

    def __init__(self, longest: int = 3, shortest: int = 2) -> None:
        self._sizes = range(longest, shortest - 1, -1)

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """At most `count` tokens that may follow."""
        tokens = list(tokens)
        for size in self._sizes:
            wanted = tokens[-size:]
            for start in range(len(tokens) - size - 1, -1, -1):
                if tokens[start : start + size] == wanted:
                    return tokens[start + size :][:count]
        return []


class ModelDraft:
    """The likeliest tokens of a smaller model with the same vocabulary.

        >>> from groundup.inference import InferenceEngine, ModelDraft
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> small, large = (
        ...     CustomLanguageModel(LLMConfig(vocab_size=512, hidden_size=width, num_hidden_layers=2))
        ...     for width in (64, 128)
        ... )
        >>> engine = InferenceEngine(large, slots=1, draft=ModelDraft(InferenceEngine(small, slots=1)))
        >>> request = engine.add([1, 2, 3], max_tokens=6)
        >>> engine.run()
        >>> len(request.tokens)
        6

    Args:
        engine: of the smaller model; it keeps what it has read, so that each guess reads only what is new.
    """

    def __init__(self, engine: InferenceEngine) -> None:
        self._engine = engine

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """At most `count` tokens that may follow."""
        if len(tokens) >= self._engine.capacity:
            return []
        request = self._engine.add(tokens, max_tokens=count)
        self._engine.run()
        return request.tokens
