"""Questions and answers made from the documents.

A document's facts are (subject, aspect, answer): `os.path.join`, `summary`, "Join two or more ...". An aspect has
phrasings in four disjoint sets: `sft` and `rl` are drawn from a grammar, thousands of ways; `tune` and `evaluate` are
written by hand. SFT learns from the first, PPO and GRPO ask the second, settings are chosen by the third, and the
fourth measures: nothing has seen it.

    Item("os.path.join", "summary", "Join two or more pathname components, inserting '/' as needed.")
      -> "What does os.path.join do?"  -> that answer
"""

import fnmatch
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from groundup.alignment.data.disguise import SUBJECT, NameForms, disguised
from groundup.alignment.data.handwritten import EVALUATE, TUNE
from groundup.alignment.data.phrasings import GRAMMARS
from groundup.corpus.documents import Document
from groundup.corpus.words import split_words
from groundup.errors import GroundupError

MAIN_ASPECTS = ("summary", "section")  # the aspect that makes a subject worth teaching
MAX_SUBJECT_CHARACTERS = 60
MIN_ANSWER_WORDS = 3  # of fewer ("Obsolete.", "Internal use.") nothing is learnt that is worth asking
MIN_SHORT_NAME = 4  # letters: `get` or `it` alone would be guesses
DRAWS = 8  # of a grammar, where a fixed number of questions is asked
MARKED = {"summary": ("`{}`", "`{}`", "{}()", "'{}'", '"{}"', "`{}()`"), "section": ('"{}"', "'{}'", "*{}*")}
FirstSet = Literal["sft", "rl"]
LastSet = Literal["tune", "evaluate"]
PLAIN = {
    "summary": "What does {subject} do?",
    "parameters": "What are the parameters of {subject}?",
    "which": "Which function does this: {subject}",
    "section": "What is said about {subject}?",
}
_WORD = re.compile(r"\w+")
_FORMULA = re.compile(r"\b\w{1,2}[!(+*/^-]")  # `Find n!.` says all there is to say
_SAYS_NOTHING = re.compile(
    r"\W*(obsolete|deprecated|undocumented|internal|private|stub|todo|unused|not (supported|implemented|sure|used))\b",
    re.IGNORECASE,
)
HANDWRITTEN = {"tune": TUNE, "evaluate": EVALUATE}


@dataclass(frozen=True)
class Item:
    """Something that can be asked, with the answer that the documents give."""

    subject: str
    aspect: str
    answer: str
    document: str  # the id of the document that holds it
    short: str = ""
    """The subject's last part, where no other subject ends in it."""

    def question(self, phrasings: FirstSet, turn: int, seed: int = 0) -> str:
        """The item asked in the way that the grammar draws at that turn: a function of its arguments alone."""
        rng = random.Random(f"{seed}/{phrasings}/{self.aspect}/{self.subject}/{turn}")
        return disguised(GRAMMARS[self.aspect][phrasings].draw(rng), self._name, rng)

    def questions(self, phrasings: FirstSet | LastSet) -> list[str]:
        """The item asked in each way of `tune` or `evaluate`, or in `DRAWS` ways of `sft` or `rl`."""
        if phrasings == "tune" or phrasings == "evaluate":
            return [sentence.replace(SUBJECT, self.subject) for sentence in HANDWRITTEN[phrasings][self.aspect]]
        return list(dict.fromkeys(self.question(phrasings, turn) for turn in range(DRAWS)))

    @property
    def plain_question(self) -> str:
        """The item asked in the shortest usual way."""
        return PLAIN[self.aspect].replace(SUBJECT, self.subject)

    @cached_property
    def _name(self) -> NameForms:
        if self.aspect == "which":  # a description
            return NameForms(self.subject)
        return NameForms(self.subject, MARKED["section" if self.aspect == "section" else "summary"], self.short)


def items_of(documents: Iterable[Document]) -> list[Item]:
    """What can be asked of documents read with `id` and `facts`; the first document with a subject's aspect counts."""
    found: dict[tuple[str, str], Item] = {}
    for document in documents:
        for fact in document.facts:
            if fact.answer:
                item = Item(fact.subject, fact.aspect, fact.answer, document.id)
                found.setdefault((fact.subject, fact.aspect), item)
    return list(found.values())


def trivial(answer: str) -> bool:
    """Whether an answer says too little to be worth asking for: one or two words, or only that something is obsolete.

    >>> [trivial(answer) for answer in ("Obsolete.", "Internal use only.", "Find n!.", "Return the sine of x.")]
    [True, True, False, False]
    """
    words = sum(len(_WORD.findall(word)) for word in split_words(answer))
    too_short = words < MIN_ANSWER_WORDS and not _FORMULA.search(answer)
    return too_short or _SAYS_NOTHING.match(answer) is not None


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
        and len(item.answer) <= max_answer_characters
        and 0 < len(item.subject) <= MAX_SUBJECT_CHARACTERS
        and not trivial(item.answer)
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
    ends = Counter(_last(name).lower() for name in {item.subject for item in items if item.aspect == "summary"})
    taught = {
        subject: replace(item, short=_last(subject))
        if item.aspect == "summary" and ends[_last(subject).lower()] == 1 and _last(subject) != subject
        else item
        for subject, item in taught.items()
    }
    which = [Item(item.answer, "which", subject, item.document) for subject, item in taught.items()]
    is_symbol = {item.subject for item in taught.values() if item.aspect == "summary"}
    return [*taught.values(), *more, *(item for item in which if item.answer in is_symbol)]


def _last(name: str) -> str:
    """`join` of `os.path.join`; the whole name where its last part is too short to mean it."""
    last = name.rpartition(".")[2]
    return last if len(last) >= MIN_SHORT_NAME else name


def write_items(path: Path, items: Sequence[Item]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items)


def read_items(path: Path) -> list[Item]:
    with path.open(encoding="utf-8") as file:
        return [Item(**json.loads(line)) for line in file]
