"""What a row of data says: a conversation to imitate, or a prompt whose answers can be scored."""

from collections.abc import Mapping
from dataclasses import dataclass

Message = Mapping[str, str]  # `role` (system, user or assistant) and `content`


@dataclass(frozen=True)
class Conversation:
    """Messages to imitate: the assistant's are trained."""

    messages: tuple[Message, ...]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """What comes before the first answer."""
        first = next(i for i, message in enumerate(self.messages) if message["role"] == "assistant")
        return self.messages[:first]


@dataclass(frozen=True)
class AnswerPair:
    """A prompt with a better and a worse answer, as a file gives them."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    ranking: str = ""
    """Of which ranking the pair is one of several: they share its name. Such a ranking counts as one pair."""


@dataclass(frozen=True)
class Task:
    """A prompt whose answers can be scored: by a verifier (see `rewards.verifiers`) or by any other reward.

    >>> Task(({"role": "user", "content": "What is 2 + 2?"},), answer="4").question
    'What is 2 + 2?'
    """

    prompt: tuple[Message, ...]
    answer: str = ""  # the right one, or what the verifier needs: a pattern, a schema, tests
    verifier: str = "exact"

    @property
    def question(self) -> str:
        """The last message's text."""
        return self.prompt[-1]["content"]


def task_of(question: str, answer: str = "", verifier: str = "exact") -> Task:
    """A task whose prompt is one user message."""
    return Task(({"role": "user", "content": question},), answer, verifier)
