"""What of `curate:` decides which documents, paragraphs and lines say what others say already."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from groundup.section import Section

Unit = Literal["line", "paragraph"]


class NearDuplicates(Section):
    """MinHash-LSH with an exact check of every candidate pair."""

    incidental: ClassVar[frozenset[str]] = frozenset({"earlier"})

    threshold: float = Field(default=0.7, gt=0, le=1)
    """Least Jaccard similarity of two documents' shingles for one of them to be dropped."""
    shingle_words: int = Field(default=5, ge=1, le=64)
    """Words in a shingle."""
    bands: int = Field(default=22, ge=1, le=256)
    """Groups of hashes; documents that agree in one whole group are compared. More bands find more."""
    rows: int = Field(default=5, ge=1, le=32)
    """Hashes in a group. More rows compare less. FineWeb has 14 bands of 8, which find half of all pairs at .7."""
    digits_alike: bool | None = None
    """Every digit counts as 0, so that pages which differ in dates and counters alone are near-duplicates. By default
    only with a preset of `rules` for the web (gopher, c4, fineweb): notes and manuals differ in numbers."""
    earlier: tuple[Path, ...] = ()
    """Folders of documents of earlier runs: what is a duplicate of one of theirs is dropped, theirs always stay."""


class RepeatedUnits(Section):
    """Lines or paragraphs that occur in many documents; they stay in the best of these documents alone."""

    least_documents: int = Field(default=10, ge=2)
    """In how many of the documents that are kept it is, at least, to be removed from all but one."""
    least_words: int = Field(default=4, ge=1)
    """Shorter lines and paragraphs are never removed: a `}` or a `Yes.` may be anywhere."""
    least_words_left: int = Field(default=5, ge=1)
    """A document with fewer words left is dropped."""
