"""What the methods train on and what they are measured on, whoever made the questions of the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundup.alignment.data.data_reading import read_tasks
from groundup.alignment.data.pairs import Pair, read_pairs
from groundup.alignment.data.questions import MAIN_ASPECTS, read_items
from groundup.alignment.data.records import Task, task_of
from groundup.errors import GroundupError
from groundup.evaluation.answering import Question


@dataclass(frozen=True)
class AskedQuestions:
    """Disjoint questions for training and for measuring."""

    tasks: list[Task]
    """Of the training, each with a good answer."""
    questions: list[Question]
    truth: Literal["documents", "exam", "pairs"]
    """What the answers of `questions` are: the documents' own, those of `evaluate.data`, or those that were preferred
    in the reward stage's held-out pairs."""

    def limited(self, count: int) -> "AskedQuestions":
        """With at most so many questions to measure on, spread evenly."""
        return AskedQuestions(self.tasks, self.questions[:: -(-len(self.questions) // count)], self.truth)


def asked_questions(items: Path, pairs: Path, exam: Path | None) -> AskedQuestions:
    """Where questions were made from documents, they are asked in phrasings of `rl` and of `evaluate`. A person's own
    are asked as the pairs of the reward stage ask them, with the preferred answers.

    Args:
        items: the SFT stage's `items.jsonl`.
        pairs: the reward stage's `pairs.jsonl`.
        exam: the file of `evaluate.data`, where there is one.

    Raises:
        GroundupError: there is nothing to train on or to measure on, or `exam` can't be used.
    """
    taught = [item for item in read_items(items) if item.aspect in MAIN_ASPECTS] if items.is_file() else []
    if taught:
        tasks = [task_of(text, item.answer) for item in taught for text in item.questions("rl")]
        asked = [Question(text, item.answer, item.subject) for item in taught for text in item.questions("evaluate")]
        return AskedQuestions(tasks, asked, "documents")
    preferred = {split: _preferred(list(read_pairs(pairs, split))) for split in ("train", "heldout")}
    tasks = [Task(pair.prompt, pair.chosen) for pair in preferred["train"]]
    if exam is not None:
        rows = [task for _, task in read_tasks(exam, answered=True).records]
        asked = [Question(task.question, task.answer, task.question, task.prompt[:-1]) for task in rows]
    else:
        asked = [Question(pair.question, pair.chosen, pair.question, pair.earlier) for pair in preferred["heldout"]]
    if not tasks or not asked:
        raise GroundupError(
            "no question is left to train on, or none to measure on",
            where=str(pairs),
            do="give reward.data more pairs, or name questions with answers in evaluate.data",
        )
    return AskedQuestions(tasks, asked, "pairs" if exam is None else "exam")


def _preferred(pairs: Sequence[Pair]) -> list[Pair]:
    """Of the pairs to each prompt one whose chosen answer no other pair rejects, else the first."""
    rejected = {(_key(pair), pair.rejected) for pair in pairs}
    best: dict[str, Pair] = {}
    for pair in sorted(pairs, key=lambda pair: (_key(pair), pair.chosen) in rejected):  # stable: else as in the file
        best.setdefault(_key(pair), pair)
    return list(best.values())


def _key(pair: Pair) -> str:
    return str([(message["role"], message["content"]) for message in pair.prompt])
