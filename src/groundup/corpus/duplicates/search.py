"""What a search for duplicates reads, how its work is cut, and where its phases keep their files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import FingerprintFile
from groundup.corpus.duplicates.merit import CandidateRows, RowNumbers
from groundup.corpus.finished import part_folder, run_or_reuse

FINGERPRINTS, ROWS, SCORES = "fingerprints.bin", "rows.npz", "quality.npy"
RANGE_DOCUMENTS = 1 << 20
_STARTS = "starts.npy"


@dataclass(frozen=True)
class DuplicateSearch:
    """All parts of one search. Rows are counted over all of them, those of earlier corpora first."""

    folder: Path
    """Where the phases keep their files; two searches have two folders."""
    config: NearDuplicates
    own: Path
    """Has a folder for each part (see `part_folder`), with the files FINGERPRINTS and ROWS."""
    own_parts: int
    earlier: Path = Path()
    """Likewise of corpora whose documents always stay."""
    earlier_parts: int = 0
    scores: Path | None = None
    """Has a folder for each of the own parts, with the file SCORES."""
    least_quality: float = -np.inf
    """Documents with a lower score take no part."""
    range_documents: int = RANGE_DOCUMENTS
    """How many documents a task is for: its memory. The result is the same for any number."""

    @property
    def parts(self) -> int:
        return self.earlier_parts + self.own_parts

    def prepare(self) -> None:
        """Count the documents, before anything else is asked for; where tasks run, the count is read.

        Raises:
            GroundupError: a part file can't be read, or was made with other settings.
        """
        counts = [self.fingerprints(part).documents for part in range(self.parts)]
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / ".starts.npy"
        np.save(aside, np.cumsum([0, *counts], dtype=np.int64))
        aside.replace(self.folder / _STARTS)

    @property
    def starts(self) -> RowNumbers:
        """[parts + 1] the first row of each part, and the number of all rows."""
        return _loaded(self.folder / _STARTS)

    @property
    def before(self) -> int:
        """The first row that is no document of an earlier corpus."""
        return int(self.starts[self.earlier_parts])

    @property
    def ranges(self) -> int:
        """In how many ranges documents, digests, the keys of each band and components are cut."""
        return max(1, -(-int(self.starts[-1]) // self.range_documents))

    def source(self, part: int) -> Path:
        """The folder of a part."""
        if part < self.earlier_parts:
            return part_folder(self.earlier, part)
        return part_folder(self.own, part - self.earlier_parts)

    def fingerprints(self, part: int) -> FingerprintFile:
        return FingerprintFile(self.source(part) / FINGERPRINTS, self.config)

    def rows(self, part: int) -> CandidateRows:
        return CandidateRows.load(self.source(part) / ROWS)

    def quality(self, part: int) -> NDArray[np.float32]:
        """[documents] of an own part; NaN where there are no scores."""
        if self.scores is None or part < self.earlier_parts:
            return np.full(int(np.diff(self.starts)[part]), np.nan, np.float32)
        found: NDArray[np.float32] = np.load(part_folder(self.scores, part - self.earlier_parts) / SCORES)
        return found

    def alive(self, part: int) -> NDArray[np.bool_]:
        """[documents] which take part."""
        return ~(self.quality(part) < self.least_quality)

    def part_of(self, rows: RowNumbers) -> RowNumbers:
        """The part of each row."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def files(self, phase: str, count: int, name: str) -> list[Path]:
        """What the tasks of a phase wrote under a name."""
        return [part_folder(self.folder / phase, number) / name for number in range(count)]


@dataclass(frozen=True)
class SearchTask:
    """One task of a phase."""

    search: DuplicateSearch
    phase: str
    number: int
    reads: str = ""
    """The phase whose files it reads, where that is not always the same."""

    def run(self, make: Callable[[Path], Figures]) -> Figures:
        """Do it, or find that it was done."""
        return run_or_reuse(self.search.folder / self.phase, self.number, make)


@lru_cache(maxsize=4)
def _loaded(path: Path) -> RowNumbers:
    found: RowNumbers = np.load(path)
    return found
