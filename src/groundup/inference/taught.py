"""What a model was taught, so that whoever shows its answers can be honest about the rest.

A name such as `os.path.join` means itself wherever it is written. A subject that is an ordinary word (`list`, a heading
"Comments") is asked about only where it is marked as a name (`list`, "Comments", list()), or where all the rest of the
question are words of asking: "What is a list?" is about `list`, "How do I sort a list?" is not.
"""

import difflib
import re
from collections.abc import Iterable
from functools import cached_property

from groundup.corpus.clean import clean

MOST_NAMES = 8  # of a question that are compared with all subjects
_NAME = re.compile(r"[A-Za-z_][\w.]*\w|[A-Za-z_]")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_UNMISTAKABLE = re.compile(r"\w[._]\w|\d|[a-z][A-Z]|_$|^_")  # dotted, with underscores, digits, or inner capitals

# Words with which anything can be asked about. Names of things, and what is done with them, are none.
ASKING = frozenset(
    """a about account again all am an and answer any anybody anyone anything are as ask asked asking at be been before
    behind brief briefly but by called can clarify could curious define definition describe described description
    did do docs documentation does don't else everything exactly exists explain explained explanation few find
    following for found from function general get give gives go good got had happens has have hear heard hello
    help helps hey hi how i i'd i'm idea if in info inform information introduce is isn't it it's its just kind
    know known learn learning let let's like line little look looking made main make may me mean meaning means
    meant mention mentioned module more much my name need never new next no not now of offer ok on once one only
    or our out overview part people phrase plain please point purpose question quick quickly reach read reading
    really refer remember remind role said saw say says section see sentence short shortly should show simple
    simply so some somebody someone something sorry stand stands subject sum summarise summarize summary supposed
    talk task teach tell tells than thank thanks that that's the their them then there these they thing things
    think this those to topic two understand up us use used useful uses using was way we well were what what's
    when where which who why will with without wonder word words would write written you your""".split()
)


class Taught:
    """The subjects that fine-tuning asked about."""

    def __init__(self, subjects: Iterable[str]) -> None:
        self.subjects = sorted({clean(subject) for subject in subjects})

    @cached_property
    def _known(self) -> dict[str, list[str]]:
        """Subjects by their lower-case spelling; `calendar.calendar` and `calendar.Calendar` share one."""
        known: dict[str, list[str]] = {}
        for subject in self.subjects:
            known.setdefault(subject.lower(), []).append(subject)
        return known

    def about(self, question: str) -> str | None:
        """The longest taught subject that the question asks about, or None; case decides between equals."""
        question = clean(question)  # a Mac types é as two characters
        asked = question.lower()
        found = [
            subject
            for lower, subjects in self._known.items()
            if lower in asked and (at := re.search(rf"(?<![\w.]){re.escape(lower)}(?!\w|\.\w)", asked))
            for subject in subjects
            if _UNMISTAKABLE.search(subject) or _asks_about(question, at.start(), at.end())
        ]
        return max(found, key=lambda subject: (len(subject), subject in question, subject), default=None)

    def nearest(self, question: str, count: int = 3) -> list[str]:
        """Taught subjects that look like a name in the question, the likeliest first; may be empty."""
        names = sorted(
            set(_NAME.findall(question.lower())) - ASKING,
            key=lambda name: ("." in name, len(name), name),
            reverse=True,
        )
        near: list[str] = []
        for name in [name for name in names if len(name) >= 3][:MOST_NAMES]:
            last = name.rpartition(".")[2]
            for lower in difflib.get_close_matches(name, self._known, count, cutoff=0.75):
                near += self._known[lower]
            if "." in name or "_" in name or len(name) > 3:
                near += [subject for subject in self.subjects if subject.lower().rpartition(".")[2] == last]
        return list(dict.fromkeys(near))[:count]


def _asks_about(question: str, start: int, end: int) -> bool:
    """Whether the ordinary words from `start` to `end` are what the question asks about."""
    before, after = question[:start], question[end:]
    if after.startswith("()") or (
        before[-1:] and before[-1] in "`'\"\u2018\u201c" and after[:1] in "`'\"\u2019\u201d("
    ):
        return True
    return all(word.lower() in ASKING for word in _WORD.findall(f"{before} {after}"))
