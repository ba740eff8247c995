"""Questions and answers made from the documents.

A document's facts are (subject, aspect, answer): `os.path.join`, `summary`, "Join two or more ...". An aspect has
phrasings in three disjoint sets: SFT learns from the first, PPO or GRPO asks the second, and evaluation asks
the third, which no training has seen.

    Item("os.path.join", "summary", "Join two or more pathname components, inserting '/' as needed.")
      -> "What does os.path.join do?"  -> that answer
"""

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from groundup.corpus.documents import Document
from groundup.errors import GroundupError

PHRASINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "summary": {
        "sft": (
            "What does {subject} do?",
            "Explain {subject}.",
            "What is {subject} for?",
            "Describe {subject} in one sentence.",
            "Tell me about {subject}.",
            "In the library there is {subject}. What is it?",
        ),
        "rl": (
            "What is the purpose of {subject}?",
            "Please summarise {subject}.",
            "What happens when I use {subject}?",
            "In a few words: {subject}?",
            "Somebody wrote {subject} here. What does that do?",
            "Do you know {subject}?",
            "Would you tell me what {subject} is good for?",
            "Give me the documentation of {subject}.",
        ),
        "evaluate": (
            "I saw {subject} in some code. What does it do?",
            "Could you tell me what {subject} does?",
            "Give me the summary line of {subject}.",
        ),
    },
    "parameters": {
        "sft": ("What are the parameters of {subject}?", "Which arguments does {subject} take?"),
        "rl": ("How do I call {subject}?",),
        "evaluate": ("List the arguments of {subject}.",),
    },
    "which": {
        "sft": ("Which function does this: {subject}", "What should I use for this: {subject}"),
        "rl": ("Name what does this: {subject}",),
        "evaluate": ("I need something for this: {subject}",),
    },
    "section": {
        "sft": (
            "What is said about {subject}?",
            "Explain {subject}.",
            "Tell me about {subject}.",
            "What should I know about {subject}?",
            "Describe {subject} in one sentence.",
            "I need to know about {subject}.",
            "{subject}: what is that about?",
            "Please give a short account of {subject}.",
        ),
        "rl": (
            "Please summarise {subject}.",
            "What can you say about {subject}?",
            "In a few words: {subject}?",
            "What do the documents say about {subject}?",
        ),
        "evaluate": (
            "Could you tell me about {subject}?",
            "I came across {subject}. What is it about?",
            "Give me the gist of {subject}.",
        ),
    },
}
MAIN_ASPECTS = ("summary", "section")  # the aspect that makes a subject worth teaching
MAX_SUBJECT_CHARACTERS = 60


@dataclass(frozen=True)
class Item:
    """Something that can be asked, with the answer that the documents give."""

    subject: str
    aspect: str
    answer: str
    document: str  # the id of the document that holds it

    def questions(self, phrasings: str) -> list[str]:
        """The item asked in each way of the set `sft`, `rl` or `evaluate`."""
        return [template.format(subject=self.subject) for template in PHRASINGS[self.aspect][phrasings]]


def items_of(documents: Iterable[Document]) -> list[Item]:
    """What can be asked of documents read with `id` and `facts`; the first document with a subject's aspect counts."""
    found: dict[tuple[str, str], Item] = {}
    for document in documents:
        for fact in document.facts:
            if fact.answer:
                item = Item(fact.subject, fact.aspect, fact.answer, document.id)
                found.setdefault((fact.subject, fact.aspect), item)
    return list(found.values())


def choose(items: Sequence[Item], subjects: int, prefer: Sequence[str], max_answer_characters: int) -> list[Item]:
    """All that is taught: a main item for each of at most `subjects` subjects, then their other items.

    Subjects that match an earlier pattern of `prefer` come first, then shallower names, then shorter answers. No two
    taught subjects have the same answer, so that "which function does this?" has one answer too.

    Raises:
        GroundupError: the documents hold no item that can be taught.
    """
    main = [
        item
        for item in items
        if item.aspect in MAIN_ASPECTS
        and 8 <= len(item.answer) <= max_answer_characters
        and 0 < len(item.subject) <= MAX_SUBJECT_CHARACTERS
    ]

    def rank(item: Item) -> tuple[int, int, int, str]:
        matches = (index for index, pattern in enumerate(prefer) if fnmatch.fnmatchcase(item.subject, pattern))
        return next(matches, len(prefer)), item.subject.count("."), len(item.answer), item.subject

    taught: dict[str, Item] = {}
    answers: set[str] = set()
    for item in sorted(main, key=rank):
        if len(taught) == subjects:
            break
        if item.subject not in taught and item.answer not in answers:
            taught[item.subject] = item
            answers.add(item.answer)
    if not taught:
        raise GroundupError(
            "the documents hold no heading or symbol with a short paragraph to ask about",
            where="sft",
            do="name your own examples with sft.data, or raise sft.max_answer_characters",
        )
    more = [
        item
        for item in items
        if item.subject in taught and item.aspect == "parameters" and len(item.answer) <= max_answer_characters
    ]
    which = [Item(item.answer, "which", subject, item.document) for subject, item in taught.items()]
    is_symbol = {item.subject for item in taught.values() if item.aspect == "summary"}
    return [*taught.values(), *more, *(item for item in which if item.answer in is_symbol)]


def write_items(path: Path, items: Sequence[Item]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items)


def read_items(path: Path) -> list[Item]:
    with path.open(encoding="utf-8") as file:
        return [Item(**json.loads(line)) for line in file]
