"""The journal of a ranking: what is compared and every judgement, one JSON object a line, on disk before it counts.

    {"kind": "session", "format": "groundup ranking 1", "models": ["mine:sft"], "answers": 2, ...}
    {"kind": "item", "id": 0, "prompt": [...], "answers": [{"text": ..., "model": ...}, ...]}
    {"kind": "judgement", "item": 0, "rater": "ada", "tiers": [[1], [0]], "seconds": 4.2}
    {"kind": "undo", "item": 0, "rater": "ada"}

Several raters, each with a page of their own, may write to one journal at once: a lock is held around each line, and a
page reads what the others wrote before it writes. A line that a kill cut off is dropped.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from groundup.artifacts.durable import write_text
from groundup.artifacts.json_files import parse_json
from groundup.errors import GroundupError

Tiers = tuple[tuple[int, ...], ...]  # indices of answers, best first; those of a tier are equal


class JournalLine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RankingSession(JournalLine):
    """What the answers were sampled from; the same options resume it."""

    kind: Literal["session"] = "session"
    format: Literal["groundup ranking 1"] = "groundup ranking 1"
    models: tuple[str, ...]
    prompts: str
    """SHA-256 of the prompts."""
    answers: int
    max_tokens: int
    temperature: float
    seed: int


class SampledAnswer(JournalLine):
    text: str
    model: str
    """Which model gave it; the page doesn't know before the end."""


class RankingItem(JournalLine):
    """A prompt with distinct answers in a random order."""

    kind: Literal["item"] = "item"
    id: int
    prompt: tuple[dict[str, str], ...]
    answers: tuple[SampledAnswer, ...] = Field(min_length=2)


class Judgement(JournalLine):
    """A rater's order of an item's answers; without tiers it was skipped."""

    kind: Literal["judgement"] = "judgement"
    item: int
    rater: str
    tiers: Tiers
    seconds: float = 0.0


class Undo(JournalLine):
    kind: Literal["undo"] = "undo"
    item: int
    rater: str


AnyLine = Annotated[RankingSession | RankingItem | Judgement | Undo, Field(discriminator="kind")]
LINES: TypeAdapter[Any] = TypeAdapter(AnyLine)


class RankingJournal:
    """The items and the judgements that count, in the order in which they were given."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            GroundupError: the file is no such journal, or damaged elsewhere than at its end.
        """
        self.path = path
        self.items: list[RankingItem] = []
        self.judgements: dict[tuple[str, int], Judgement] = {}  # by rater and item
        self._session: RankingSession | None = None
        self._read = 0  # bytes
        self._lines = 0
        self.refresh()
        if self._session is None:
            raise self._damaged("it has no session")

    @classmethod
    def create(cls, path: Path, session: RankingSession, items: Sequence[RankingItem]) -> "RankingJournal":
        """A new journal; it exists whole or not at all."""
        write_text(path, "".join(_line(one) for one in (session, *items)))
        return cls(path)

    @property
    def session(self) -> RankingSession:
        assert self._session is not None
        return self._session

    def of(self, rater: str) -> list[Judgement]:
        """A rater's judgements that count, skipped items among them, the latest last."""
        return [one for (name, _), one in self.judgements.items() if name == rater]

    def refresh(self) -> None:
        """Read what other raters have written."""
        with self._locked() as file:
            self._catch_up(file)

    def write(self, line: Judgement | Undo) -> None:
        """Append a line; it is on disk when this returns."""
        with self._locked() as file:
            self._catch_up(file)
            file.seek(self._read)
            file.truncate()  # what a kill has left of a line
            file.write(_line(line).encode())
            file.flush()
            os.fsync(file.fileno())
            self._catch_up(file)

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        with self.path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _catch_up(self, file: BinaryIO) -> None:
        """Take in the whole lines that are new."""
        file.seek(self._read)
        for data in file.read().splitlines(keepends=True):
            if not data.endswith(b"\n"):
                return
            self._lines += 1
            try:
                self._take(LINES.validate_python(parse_json(data)))
            except ValueError as error:
                raise self._damaged(str(error).partition("\n")[0]) from error
            self._read += len(data)

    def _take(self, line: Any) -> None:
        match line:
            case RankingSession():
                self._session = line
            case RankingItem():
                self.items.append(line)
            case Judgement():
                answers = range(len(self.items[line.item].answers)) if 0 <= line.item < len(self.items) else ()
                if line.tiers and sorted(index for tier in line.tiers for index in tier) != list(answers):
                    raise ValueError("a judgement orders other answers than its item has")
                self.judgements.pop((line.rater, line.item), None)
                self.judgements[line.rater, line.item] = line
            case Undo():
                self.judgements.pop((line.rater, line.item), None)

    def _damaged(self, why: str) -> GroundupError:
        return GroundupError(
            f"is no journal of a ranking ({why})",
            where=f"{self.path}:{max(1, self._lines)}",
            do="remove the line, or name another --out",
        )


def _line(value: JournalLine) -> str:
    return json.dumps(value.model_dump(), ensure_ascii=False) + "\n"
