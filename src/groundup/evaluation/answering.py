"""Asking a model many questions and marking its answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.alignment.data.examples import prompt_ids
from groundup.alignment.data.records import Message
from groundup.evaluation.checker import exact, token_f1
from groundup.inference.continuation import continue_prompts
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import ModelOnDevice
from groundup.progress import Progress
from groundup.tokenizer.tokenizer import Tokenizer

BATCH = 128


@dataclass(frozen=True)
class Question:
    """A question whose true answer is known. `group` names what its score is not independent of (the subject)."""

    text: str
    truth: str
    group: str
    earlier: tuple[Message, ...] = ()
    """What was said before the question."""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All messages before the answer."""
        return *self.earlier, {"role": "user", "content": self.text}


@dataclass(frozen=True)
class Marked:
    """An answer with its scores; one that did not end is marked as it is."""

    answer: str
    ended: bool
    exact: bool
    f1: float


def answer_all(
    on_device: ModelOnDevice,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    max_tokens: int,
    title: str,
    progress: Progress,
) -> list[Marked]:
    """The likeliest answer (temperature 0) to each question, marked, in the questions' order."""
    assert isinstance(on_device.model, CustomLanguageModel)
    prompts = [prompt_ids(question.prompt, tokenizer) for question in questions]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))  # little padding in a batch
    marked: dict[int, Marked] = {}
    with progress.task(title, len(questions), "answers") as task:
        for start in range(0, len(order), BATCH):
            indices = order[start : start + BATCH]
            given = continue_prompts(
                on_device.model,
                [prompts[index] for index in indices],
                stop={tokenizer.end},
                max_tokens=max_tokens,
                dtype=on_device.dtype,
            )
            for index, one in zip(indices, given, strict=True):
                answer, truth = tokenizer.decode(one.tokens, skip_special=True), questions[index].truth
                marked[index] = Marked(answer, one.ended, exact(answer, truth), token_f1(answer, truth))
            task.advance(len(indices))
    return [marked[index] for index in range(len(questions))]


def rates(marked: Sequence[Marked]) -> dict[str, float]:
    """Means over the answers: exact matches, token F1, and how many ended."""
    count = max(1, len(marked))
    return {
        "questions": len(marked),
        "exact_match": sum(one.exact for one in marked) / count,
        "token_f1": sum(one.f1 for one in marked) / count,
        "ended": sum(one.ended for one in marked) / count,
    }
