"""What the engine works on: requests, slots of the cache, and who guesses next tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from groundup.inference.sampling import History, Sampling, random_numbers

Finish = Literal["stop", "length", "cancelled"]


@dataclass(eq=False)
class Request:
    """A prompt and its continuation so far. Made by `InferenceEngine.add`."""

    prompt: list[int]
    max_tokens: int
    stop: frozenset[int]
    sampling: Sampling
    top: int | None  # how many of the likeliest tokens are reported with each token; None: no log-probabilities
    ends: Callable[[int], bool] | None
    allowed: Callable[[list[int]], Tensor | None] | None
    tokens: list[int] = field(default_factory=list)
    """The continuation, with the stop token if it came."""
    finish: Finish | None = None
    """Why it ended; None: it has not."""
    logprobs: list[float] = field(default_factory=list)
    """Of each token, in nats: the model's own, before temperature, penalties and filters."""
    top_logprobs: list[dict[int, float]] = field(default_factory=list)
    """The likeliest tokens at each position, likeliest first."""
    chances: list[float] | None = None
    """Of each token, in nats: under the distribution that it was drawn from. None: they are not recorded."""

    def __post_init__(self) -> None:
        self.history = History(self.sampling, self.prompt) if self.sampling.adjusts else None
        self._random = None if self.sampling.greedy else random_numbers(self.sampling.seed)

    @property
    def done(self) -> bool:
        return self.finish is not None

    def uniform(self) -> float:
        """The next of the request's random numbers in [0, 1)."""
        return 0.0 if self._random is None else float(self._random.random())


@dataclass(eq=False)
class Slot:
    """What a slot of the cache holds. `request` is None where it is only kept for reuse."""

    held: list[int] = field(default_factory=list)  # tokens whose keys and values are in the cache
    request: Request | None = None
    leader: Request | None = None  # whose prompt is being read, and begins with the same `following` tokens
    following: int = 0
    used: int = 0  # when it was last active

    @property
    def pending(self) -> int:
        """How many tokens of the request are not in the cache."""
        assert self.request is not None
        return len(self.request.prompt) + len(self.request.tokens) - len(self.held)

    def upcoming(self, count: int) -> list[int]:
        """The first of those: of the prompt, or the last token of the answer."""
        assert self.request is not None
        return self.request.prompt[len(self.held) :][:count] or self.request.tokens[-1:]


class Draft(Protocol):
    """What guesses a request's next tokens (`speculation.py`)."""

    def propose(self, tokens: Sequence[int], count: int) -> list[int]:
        """At most `count` tokens that may follow these, a prompt and its answer so far."""
