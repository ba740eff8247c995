"""An answer as text: whole characters as tokens come, up to a stop string."""

from collections.abc import Collection, Sequence

from groundup.inference.engine import InferenceEngine
from groundup.inference.grammar import Grammar
from groundup.inference.sampling import GREEDY, Sampling
from groundup.tokenizer.streaming import StreamDecoder
from groundup.tokenizer.tokenizer import Tokenizer


class TextAnswer:
    """A request of an engine, whose text can be taken while the engine makes its steps.

        >>> from groundup.inference import TextAnswer, InferenceEngine
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> from groundup.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=280)
        >>> config = LLMConfig(vocab_size=tokenizer.vocabulary_size, hidden_size=128, num_hidden_layers=2)
        >>> engine = InferenceEngine(CustomLanguageModel(config), slots=2)
        >>> answers = [TextAnswer(engine, tokenizer, tokenizer.encode(text), max_tokens=6) for text in ("the", "cat")]
        >>> while not all(answer.done for answer in answers):
        ...     _ = engine.step()
        ...     pieces = [answer.take() for answer in answers]

    Stop strings may come over the borders of tokens: what could be the beginning of one is held back until it is known
    not to be. The stop string itself is never part of the text.

    Args:
        ids: the prompt.
        stop: strings that end the text.
        stop_ids: tokens that end it; None: those of the end of a text and of a turn.
        top: as in `InferenceEngine.add`.
        grammar: what the answer must be.
        special: special tokens' text is part of the answer's.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        tokenizer: Tokenizer,
        ids: Sequence[int],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        stop_ids: Collection[int] | None = None,
        sampling: Sampling = GREEDY,
        top: int | None = None,
        grammar: Grammar | None = None,
        special: bool = False,
    ) -> None:
        self._engine, self._stop = engine, [string for string in stop if string]
        self._decoder, self._text = StreamDecoder(tokenizer, skip_special=not special), ""  # decoded, and not taken
        self._finished = False
        ends = {tokenizer.end, tokenizer.end_of_text} if stop_ids is None else stop_ids
        self.request = engine.add(
            ids,
            max_tokens=max_tokens,
            stop=ends,
            sampling=sampling,
            top=top,
            ends=self._feed,
            allowed=None if grammar is None else grammar.follow(tokenizer, ends, engine.model.config.vocab_size),
        )

    @property
    def done(self) -> bool:
        """Whether the request has ended; the rest of its text may still have to be taken."""
        return self.request.done

    @property
    def finish_reason(self) -> str:
        """`stop` for a stop token or string, `length`, or `cancelled`."""
        return self.request.finish or "length"

    @property
    def mean_logprob(self) -> float:
        """Per token; of a request with `top`."""
        return sum(self.request.logprobs) / max(1, len(self.request.logprobs))

    def take(self) -> str:
        """The text since the last call that no stop string can begin in any more."""
        if self.request.done and not self._finished:
            self._finished = True
            self._text += self._decoder.finish() if self._ending() is None else ""
        ending = self._ending()
        if ending is not None:
            free = ending
        elif self.request.done:
            free = len(self._text)
        else:
            free = len(self._text) - max((overlap(self._text, string) for string in self._stop), default=0)
        taken, self._text = self._text[:free], self._text[free:]
        return taken

    def cancel(self) -> None:
        """End it where it is."""
        self._engine.cancel(self.request)

    def _feed(self, token: int) -> bool:
        """Whether a stop string has come with this token."""
        self._text += self._decoder.feed(token)
        return self._ending() is not None

    def _ending(self) -> int | None:
        """Where the first stop string begins in what is not taken."""
        found = [start for string in self._stop if (start := self._text.find(string)) >= 0]
        return min(found, default=None)


def overlap(text: str, string: str) -> int:
    """How many of the text's last characters are the beginning of the string."""
    return next((size for size in range(min(len(text), len(string) - 1), 0, -1) if text.endswith(string[:size])), 0)
