"""The room's parts with plain arguments, for a notebook: texts in, texts and numbers out, no files.

The curate stage does the same in parallel and out of core, with an account of everything that it drops.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from groundup.corpus.documents import document_id
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import FingerprintWriter
from groundup.corpus.duplicates.merit import CandidateRows
from groundup.corpus.duplicates.near import duplicates_of, find
from groundup.corpus.duplicates.search import FINGERPRINTS, ROWS, DuplicateSearch
from groundup.corpus.engine import DataEngine
from groundup.corpus.extraction.configuration import Extraction, Mode
from groundup.corpus.extraction.pool import Page, extractor
from groundup.corpus.extraction.worker import MODES
from groundup.corpus.filters.language import identify_many
from groundup.corpus.finished import part_folder
from groundup.corpus.phases import Phases
from groundup.corpus.redaction.configuration import Redaction
from groundup.corpus.redaction.redact import redact as redact_column
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError
from groundup.progress import Silent


class DuplicatePair(NamedTuple):
    """A text that goes, and the one that stays for it."""

    dropped: int  # index in the texts
    kept: int
    similarity: float  # Jaccard similarity of their sets of shingles; 1 for the same bytes


class Deduplicated(NamedTuple):
    """What `deduplicate` found."""

    kept: list[int]  # indices in the texts, rising
    pairs: list[DuplicatePair]


class ExtractedPage(NamedTuple):
    """What a page says."""

    title: str
    text: str


class Redacted(NamedTuple):
    """A text with personal data masked."""

    text: str
    counts: dict[str, int]  # kind -> how often it was found


class DetectedLanguage(NamedTuple):
    """The language of a text."""

    code: str  # ISO 639-1, or of three letters where there is none of two; `und` for too little text
    probability: float


def deduplicate(
    texts: Sequence[str], threshold: float = 0.7, shingle_words: int = 5, digits_alike: bool = False
) -> Deduplicated:
    """Exact and near-duplicates by MinHash and verified Jaccard similarity; of similar texts the longest stays.

    >>> text = "the quick brown fox jumps over the lazy dog while the cat sleeps in the warm morning sun"
    >>> deduplicate([text, "something else altogether", text + " today"]).kept
    [1, 2]

    Args:
        texts: the documents.
        threshold: smallest similarity of two texts of which one is dropped.
        shingle_words: words in a shingle.
        digits_alike: every digit counts as 0.
    """
    config = NearDuplicates(threshold=threshold, shingle_words=shingle_words, digits_alike=digits_alike)
    sizes = np.array([len(text.encode("utf-8", "replace")) for text in texts], dtype=np.int64)
    ids = [document_id(text) for text in texts]
    numbers = np.array([[int(one[:16], 16), int(one[16:], 16)] for one in ids], dtype=np.uint64).reshape(-1, 2)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        part = part_folder(folder, 0)
        part.mkdir()
        with FingerprintWriter(part / FINGERPRINTS, config) as writer:
            writer.write(pa.array(texts, pa.large_string()))
        CandidateRows(numbers, sizes).save(part / ROWS)
        search = DuplicateSearch(folder / "search", config, folder, 1)
        search.prepare()
        find(search, Phases(DataEngine(), folder, Silent()))
        found = duplicates_of(search, 0)
    columns = found.rows.tolist(), found.kept.tolist(), found.similarity.tolist()
    pairs = [DuplicatePair(*row) for row in zip(*columns, strict=True)]
    dropped = {pair.dropped for pair in pairs}
    return Deduplicated([row for row in range(len(texts)) if row not in dropped], pairs)


def extract(html: str, mode: Mode = "precision") -> ExtractedPage:
    """The title and the main text of a web page, as Markdown, without menus, notes and footers.

    A page is read in a worker with limits of time and memory, which the first call starts.

    >>> words = "".join(f"<p>Bread number {n} is made of flour, water and salt.</p>" for n in range(9))
    >>> page = f"<html><title>Bread</title><body><nav>Home</nav><article>{words}</article></body></html>"
    >>> extract(page).text[:46]
    'Bread number 0 is made of flour, water and sal'

    Args:
        mode: `precision`, `balanced` or `recall`.

    Raises:
        GroundupError: the page holds no text, or needs more than a page may take.
    """
    method = next(method for method, name in MODES.items() if name == mode)
    (found,) = extractor(Extraction(mode=mode)).extract([Page(method, html)])
    if isinstance(found, UnreadableError):
        raise GroundupError(f"the page can't be read ({found.rule})", do="try another mode")
    return ExtractedPage(found.title, found.text)


def redact(text: str, config: Redaction | None = None) -> Redacted:
    """Mask e-mail addresses, telephone, card and account numbers, IP addresses, and keys of machines.

    >>> redact("Write to jo@web.org.")
    Redacted(text='Write to <email>.', counts={'email': 1})

    Args:
        config: what becomes of each kind; all are masked by default.
    """
    masked, counts = redact_column(pa.array([text], pa.large_string()), config or Redaction())
    return Redacted(masked[0].as_py(), {kind: int(count[0]) for kind, count in counts.items() if count[0]})


def language(text: str) -> DetectedLanguage:
    """The language that a text is written in; `und` where fewer than 100 bytes of words are too few to know.

    >>> text = "Jeden Morgen öffnet die Bäckerin ihren Laden, bevor die Sonne aufgeht, und dann liest sie die Zeitung. "
    >>> language(text + "Alle reden über das Wetter.").code
    'de'
    """
    codes, probabilities = identify_many(pa.array([text], pa.large_string()))
    return DetectedLanguage(codes[0], float(probabilities[0]))
