"""The part of `curate:` that keeps evaluation sets out of what is trained on."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from groundup.section import Section


class EvaluationSet(Section):
    """A JSONL file (plain, .gz or .zst), or a folder of such files; one item a line."""

    incidental: ClassVar[frozenset[str]] = frozenset({"path"})

    path: Path
    """A file or folder; a relative path starts at the blueprint's folder."""
    name: str = ""
    """What the set is called in the report; by default the last part of its path."""
    texts: tuple[str, ...] = ("question",)
    """Columns that hold text of the item (question, passage, sentence); each is looked for by itself."""
    answer: str | None = None
    """The column that holds the answer: a string, or a list of strings, if there is one."""
    id: str | None = None
    """The column that holds the item's id, which the report names next to the line."""


class Contamination(Section):
    """Which documents hold items of evaluation sets, by n-grams of words (GPT-3: 13) and exact answers."""

    sets: tuple[EvaluationSet, ...] = ()
    ngram_words: int = Field(default=13, ge=2, le=64)
    """A document that has so many words in a row of an item's text holds the item (GPT-3, arXiv 2005.14165, C.)."""
    least_words: int = Field(default=8, ge=1, le=64)
    """Texts and answers that are shorter than an n-gram are looked for whole, those of fewer words than this not at
    all: they would be found everywhere (GPT-3 takes no n-gram below 8 words)."""
    on_match: Literal["drop", "cut"] = "drop"
    """`drop` the document, or `cut` out the paragraphs in which a match lies."""
    least_words_left: int = Field(default=50, ge=1)
    """A document that has fewer words left after a cut is dropped."""
