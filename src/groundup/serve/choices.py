"""One answer of a request, as it grows in an inference engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.inference.engine import InferenceEngine
from groundup.inference.grammar import Grammar
from groundup.inference.loading import LoadedModel
from groundup.inference.sampling import GREEDY, Sampling
from groundup.inference.scoring import TokenLogprob, prompt_logprobs
from groundup.inference.text import TextAnswer


@dataclass(frozen=True)
class ChoiceRequest:
    """What is to be answered."""

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling = GREEDY
    stop: Sequence[str] = ()
    logprobs: int | None = None
    """How many likeliest tokens are reported with each token's log-probability; None reports none."""
    prompt_logprobs: bool = False
    """The prompt's own log-probabilities come first."""
    grammar: Grammar | None = None
    """What the answer must be."""
    special: bool = False
    """Special tokens' text is part of the answer's."""


@dataclass(frozen=True)
class Delta:
    """What an answer has grown by. A piece may have tokens and no text yet, where a character is not whole."""

    text: str
    tokens: Sequence[TokenLogprob] = ()


class Choice:
    """An answer in an engine: `take` what it has grown by, until `finish_reason` is set."""

    def __init__(self, engine: InferenceEngine, loaded: LoadedModel, job: ChoiceRequest) -> None:
        self._job, self._reported = job, 0
        self.prompt_logprobs: list[TokenLogprob] = []
        if job.prompt_logprobs:
            self.prompt_logprobs = prompt_logprobs(loaded.model, job.prompt, job.logprobs or 0)
        self._answer: TextAnswer | None = None  # None: only the prompt was asked for
        if job.max_tokens > 0 and len(job.prompt) < loaded.context:
            self._answer = TextAnswer(
                engine,
                loaded.tokenizer,
                job.prompt,
                max_tokens=job.max_tokens,
                stop=job.stop,
                stop_ids=loaded.stop,
                sampling=job.sampling,
                top=job.logprobs,
                grammar=job.grammar,
                special=job.special,
            )

    @property
    def completion_tokens(self) -> int:
        return 0 if self._answer is None else len(self._answer.request.tokens)

    @property
    def finish_reason(self) -> str | None:
        """`stop` for a token or string that ends answers, `length`, or None while the answer grows."""
        if self._answer is None:
            return "length"
        if not self._answer.done:
            return None
        return "stop" if self._answer.finish_reason == "stop" else "length"

    def take(self) -> Delta:
        """What has come since the last call."""
        if self._answer is None:
            return Delta("")
        request, text = self._answer.request, self._answer.take()
        if self._job.logprobs is None:
            return Delta(text)
        found = zip(request.tokens, request.logprobs, request.top_logprobs, strict=True)
        tokens = [TokenLogprob(token, logprob, tuple(top.items())) for token, logprob, top in found]
        new, self._reported = tokens[self._reported :], len(tokens)
        return Delta(text, new)

    def cancel(self) -> None:
        """End it where it is; its slot in the engine is free."""
        if self._answer is not None:
            self._answer.cancel()


class Engines:
    """An engine for each model that has been asked. All calls come from one thread.

    Args:
        slots: answers that an engine works on together; more wait in it.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._engines: dict[str, InferenceEngine] = {}

    def start(self, loaded: LoadedModel, job: ChoiceRequest) -> Choice:
        """Begin an answer."""
        if loaded.name not in self._engines:
            self._engines[loaded.name] = InferenceEngine(loaded.model, slots=self.slots, words=loaded.words)
        return Choice(self._engines[loaded.name], loaded, job)

    def step(self) -> None:
        """One more token for each answer."""
        for engine in self._engines.values():
            if engine.busy:
                engine.step()


def warm(loaded: LoadedModel) -> None:
    """Compile, or read from disk, what generating needs, so that the first answer need not wait for it."""
    engine = InferenceEngine(loaded.model, slots=1, words=loaded.words)
    engine.add([0], max_tokens=2)
    engine.run()
