"""The `curate:` section: where documents come from and what must hold for one to be kept."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from groundup.section import Section


class PythonDocs(Section):
    """The Python documentation that every machine has: docstrings, help topics, packages' descriptions."""

    kind: Literal["python-docs"]
    packages: tuple[str, ...] = ("numpy", "pyarrow", "pydantic", "typer", "rich", "safetensors", "matplotlib")
    """Installed packages whose docstrings and long descriptions are read beside the standard library's."""


class Files(Section):
    """A file or a folder, walked recursively: txt, md, html, jsonl, parquet; plain, .gz or .zst."""

    incidental: ClassVar[frozenset[str]] = frozenset({"path"})

    kind: Literal["files"]
    path: Path
    """A file or folder; a relative path starts at the blueprint's folder."""
    text: str = "text"
    """The column that holds the text in jsonl and parquet."""
    title: str = "title"
    """The column that holds the title in jsonl and parquet, where there is one."""
    licence: str = ""
    """The licence of these documents, recorded with each."""


Source = Annotated[PythonDocs | Files, Field(discriminator="kind")]


class RulesConfig(Section):
    """Thresholds over each document's statistics. A document is dropped by the first rule it breaks."""

    language: str | None = "en"
    """Keep only this language (ISO 639-1); null keeps all."""
    language_confidence: float = Field(default=0.5, ge=0, le=1)
    """How sure language identification must be before it drops a document for being in another language."""
    min_words: int = Field(default=5, ge=0)
    max_words: int = Field(default=100_000, ge=1)
    min_mean_word_length: float = Field(default=2.0, ge=0)
    max_mean_word_length: float = Field(default=20.0, ge=0)
    """Gopher: 10 for web pages. In documentation `collections.abc.Mapping.get(key, default=None)` is two words."""
    min_alphabetic_words: float = Field(default=0.6, ge=0, le=1)
    """Least share of words that hold a letter (Gopher, arXiv 2112.11446, uses .8 for web pages)."""
    max_symbols_per_word: float = Field(default=0.3, ge=0)
    """Most `#` and ellipses per word (Gopher: .1)."""
    max_duplicate_lines: float = Field(default=0.3, ge=0, le=1)
    """Most share of lines that stand further up in the same document too (Gopher: .3)."""
    max_top_trigram: float = Field(default=0.3, ge=0, le=1)
    """Most share of characters in the most frequent word 3-gram (Gopher: .18), in documents of 50 words or more."""


class NearDuplicates(Section):
    """MinHash-LSH with an exact check of every candidate pair."""

    threshold: float = Field(default=0.7, gt=0, le=1)
    """Least Jaccard similarity of two documents' shingles for one of them to be dropped."""
    shingle_words: int = Field(default=5, ge=1)
    bands: int = Field(default=22, ge=1)
    rows: int = Field(default=5, ge=1)


class CurateConfig(Section):
    """From sources to documents worth training on."""

    sources: tuple[Source, ...] = Field(min_length=1)
    rules: RulesConfig = RulesConfig()
    near_duplicates: NearDuplicates = NearDuplicates()
    heldout: float = Field(default=0.02, ge=0, lt=1)
    """Share of the kept documents that no stage trains on, chosen by the hash of their text."""
    max_document_mb: float = Field(default=8.0, gt=0)
    """Files and lines above this size are left out, and listed as such."""
