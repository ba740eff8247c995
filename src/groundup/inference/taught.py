"""What a model was taught, so that whoever shows its answers can be honest about the rest."""

import difflib
import re
from collections.abc import Iterable
from functools import cached_property

from groundup.corpus.clean import clean

MOST_NAMES = 8  # of a question that are compared with all subjects
_NAME = re.compile(r"[A-Za-z_][\w.]*\w|[A-Za-z_]")


class Taught:
    """The subjects that fine-tuning asked about."""

    def __init__(self, subjects: Iterable[str]) -> None:
        self.subjects = sorted(set(subjects))

    @cached_property
    def _known(self) -> dict[str, list[str]]:
        """Subjects by their lower-case spelling; `calendar.calendar` and `calendar.Calendar` share one."""
        known: dict[str, list[str]] = {}
        for subject in self.subjects:
            known.setdefault(subject.lower(), []).append(subject)
        return known

    def about(self, question: str) -> str | None:
        """The longest taught subject that the question names as a whole word, or None; case decides between equals."""
        question = clean(question)  # a Mac types é as two characters
        asked = question.lower()
        found = [
            subject
            for lower, subjects in self._known.items()
            if lower in asked and re.search(rf"(?<![\w.]){re.escape(lower)}(?!\w|\.\w)", asked)
            for subject in subjects
        ]
        return max(found, key=lambda subject: (len(subject), subject in question, subject), default=None)

    def nearest(self, question: str, count: int = 3) -> list[str]:
        """Taught subjects that look like a name in the question, the likeliest first; may be empty."""
        names = sorted(
            set(_NAME.findall(question.lower())), key=lambda name: ("." in name, len(name), name), reverse=True
        )
        near: list[str] = []
        for name in [name for name in names if len(name) >= 3][:MOST_NAMES]:
            last = name.rpartition(".")[2]
            for lower in difflib.get_close_matches(name, self._known, count, cutoff=0.75):
                near += self._known[lower]
            if "." in name or "_" in name:
                near += [subject for subject in self.subjects if subject.lower().rpartition(".")[2] == last]
        return list(dict.fromkeys(near))[:count]
