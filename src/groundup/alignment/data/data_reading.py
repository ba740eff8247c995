"""Data files as conversations, comparisons or tasks, with everything that was skipped and why.

Nothing here needs a model or torch: a run reads its files so before the first stage begins.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from groundup.alignment.data.data_files import Row, read_rows
from groundup.alignment.data.formats import (
    FormatError,
    LabelledAnswer,
    comparison_of,
    conversation_of,
    labelled_of,
    ranking_of,
    task_in,
)
from groundup.alignment.data.records import AnswerPair, Conversation, Message, Task
from groundup.alignment.rewards.user_function import is_function
from groundup.alignment.rewards.verifiers import misuse
from groundup.errors import GroundupError

MAX_SKIPPED = 0.05  # of a file's rows, before it is refused
SHOWN = 10

RecordT = TypeVar("RecordT")


@dataclass
class FileRecords(Generic[RecordT]):
    """What a file holds."""

    path: Path
    container: str
    rows: Sequence[Row]
    records: list[tuple[str, RecordT]] = field(default_factory=list)
    """`(file:line, record)`."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """`(file:line, reason)` of rows that can't be used."""
    formats: Counter[str] = field(default_factory=Counter)
    identical_pairs: int = 0
    """Comparisons whose two answers are the same; they teach nothing and are skipped."""
    all_equal: int = 0
    """Ranked lists without a better and a worse answer; they are skipped too."""
    rejected_rows: int = 0
    """Rows labelled as bad answers, which nothing should imitate."""
    repeated_prompts: int = 0
    """Records whose prompt an earlier one has."""

    def objects(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """`(where, row)` of every row that is an object; the others are skipped."""
        for row in self.rows:
            if isinstance(row.value, dict):
                yield row.where, row.value
            elif isinstance(row.value, ValueError):
                self.skipped.append((row.where, f"can't be parsed ({row.value})"))
            else:
                self.skipped.append((row.where, f"is a {type(row.value).__name__}, not an object"))

    @contextmanager
    def skipping(self, where: str) -> Iterator[None]:
        """A FormatError inside becomes a skipped row."""
        try:
            yield
        except FormatError as error:
            self.skipped.append((where, str(error)))

    def add(self, format: str, where: str, record: RecordT | None) -> None:
        """Count a row of a format, and keep its record where it has one."""
        self.formats[format] += 1
        if record is not None:
            self.records.append((where, record))

    def check(self) -> None:
        """Raises GroundupError naming the first rows that were skipped, where they are too many."""
        if len(self.skipped) <= MAX_SKIPPED * len(self.rows) and self.records:
            return
        listed = " | ".join(f"{where}: {reason}" for where, reason in self.skipped[:SHOWN])
        rest = f" | and {len(self.skipped) - SHOWN:,} more" if len(self.skipped) > SHOWN else ""
        unused = f"{len(self.skipped):,} of {len(self.rows):,} rows can't be used, and {MAX_SKIPPED:.0%} is the limit"
        what = f"{unused}: {listed}{rest}" if self.skipped else "no row is left to learn from"
        raise GroundupError(what, where=str(self.path), do="correct or remove these rows")

    @property
    def summary(self) -> str:
        """One line: what was recognised, and what was not used."""
        formats = ", ".join(f"{name} ({count:,})" for name, count in self.formats.most_common())
        counts = {
            "skipped": len(self.skipped),
            "identical pairs": self.identical_pairs,
            "all equal": self.all_equal,
            "labelled bad": self.rejected_rows,
            "repeated prompts": self.repeated_prompts,
        }
        rest = "".join(f", {count:,} {name}" for name, count in counts.items() if count)
        return f"{self.path.name}: {len(self.rows):,} rows of {self.container}, {formats or 'no known format'}{rest}"

    def figures(self) -> dict[str, Any]:
        """The same for a report."""
        return {
            "file": self.summary,
            "rows": len(self.rows),
            "formats": dict(self.formats),
            "skipped_rows": len(self.skipped),
            "skipped": [f"{where}: {reason}" for where, reason in self.skipped[:SHOWN]],
            "identical_pairs": self.identical_pairs,
            "all_equal": self.all_equal,
            "repeated_prompts": self.repeated_prompts,
        }


def read_conversations(path: Path) -> FileRecords[Conversation]:
    """Conversations to imitate.

    Raises:
        GroundupError: the file can't be read, or too many of its rows can't be used.
    """
    file: FileRecords[Conversation] = _open(path)
    for where, row in file.objects():
        with file.skipping(where):
            name, conversation = conversation_of(row)
            file.add(name, where, conversation)
            file.rejected_rows += conversation is None
    return _finished(file, lambda conversation: conversation.prompt)


def read_comparisons(path: Path) -> FileRecords[AnswerPair]:
    """Better and worse answers. A ranked list is all of its pairs. Of rows with labels, each good answer is compared
    with each bad one to its prompt.

    Raises:
        GroundupError: the file can't be read, or too many of its rows can't be used.
    """
    file: FileRecords[AnswerPair] = _open(path)
    labelled: dict[str, list[tuple[str, LabelledAnswer]]] = {}
    for where, row in file.objects():
        with file.skipping(where):
            if "label" in row and "chosen" not in row:
                one = labelled_of(row)
                labelled.setdefault(_key(one.prompt), []).append((where, one))
                file.formats["unpaired labels"] += 1
            elif "ranked" in row:
                prompt, tiers = ranking_of(row)
                file.all_equal += len(tiers) == 1
                file.add("ranked lists", where, None)
                file.records += [
                    (where, AnswerPair(prompt, better, worse, where))
                    for rank, tier in enumerate(tiers)
                    for better in tier
                    for below in tiers[rank + 1 :]
                    for worse in below
                ]
            else:
                name, comparison = comparison_of(row)
                same = comparison.chosen == comparison.rejected
                file.identical_pairs += same
                file.add(name, where, None if same else comparison)
    for key, answers in labelled.items():
        good, bad = ([(where, one) for where, one in answers if one.good is kind] for kind in (True, False))
        if not (good and bad):
            missing = "bad" if good else "good"
            file.skipped += [(where, f"no answer to its prompt is labelled {missing}") for where, _ in answers]
        file.records += [
            (where, AnswerPair(one.prompt, one.answer, other.answer, key)) for where, one in good for _, other in bad
        ]
    return _finished(file, lambda comparison: comparison.prompt)


def read_labelled(path: Path) -> FileRecords[LabelledAnswer]:
    """Answers that are labelled good or bad, with or without others to the same prompt. A comparison is one of each.

    Raises:
        GroundupError: the file can't be read, too many of its rows can't be used, or all labels are alike.
    """
    file: FileRecords[LabelledAnswer] = _open(path)
    for where, row in file.objects():
        with file.skipping(where):
            if "chosen" in row:
                name, pair = comparison_of(row)
                file.add(name, where, LabelledAnswer(pair.prompt, pair.chosen, True))
                file.records.append((where, LabelledAnswer(pair.prompt, pair.rejected, False)))
            else:
                file.add("unpaired labels", where, labelled_of(row))
    kinds = {one.good for _, one in file.records}
    if len(kinds) == 1:
        raise GroundupError(
            f"all of its answers are labelled {'good' if kinds.pop() else 'bad'}",
            where=str(path),
            do="add some of the other kind, or use sft.data for good answers alone",
        )
    return _finished(file, lambda one: one.prompt)


def read_tasks(path: Path, verifier: str = "exact", *, answered: bool = False) -> FileRecords[Task]:
    """Prompts with what their answers are checked by.

    Args:
        verifier: of rows that name none; the only one that may be a function.
        answered: rows without an answer can't be used.

    Raises:
        GroundupError: the file can't be read, or too many of its rows can't be used.
    """
    file: FileRecords[Task] = _open(path)
    for where, row in file.objects():
        with file.skipping(where):
            name, task = task_in(row, verifier)
            own = is_function(verifier) and task.verifier == verifier
            if why := None if own else misuse(task):
                raise FormatError(why)
            if answered and not task.answer.strip():
                raise FormatError("has no text under `answer` or `output`")
            file.add(name, where, task)
    return _finished(file, lambda task: task.prompt)


def _open(path: Path) -> FileRecords[Any]:
    container, rows = read_rows(path)
    return FileRecords(path, container, rows)


def _finished(file: FileRecords[RecordT], prompt: Callable[[RecordT], Sequence[Message]]) -> FileRecords[RecordT]:
    prompts = {_key(prompt(record)) for _, record in file.records}
    file.repeated_prompts = len(file.records) - len(prompts)
    file.check()
    return file


def _key(prompt: Sequence[Message]) -> str:
    return json.dumps(prompt, ensure_ascii=False)
