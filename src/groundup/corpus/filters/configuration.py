"""What of `curate:` filters documents: `rules`, `lines`, `language` and `urls`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from groundup.corpus.filters.language_codes import checked
from groundup.corpus.filters.presets import LINES, RULES, LinesPreset, MeasuredOn, RulesPreset
from groundup.section import Section


class _FromPreset(Section):
    """A section whose keys start from the preset that it names; a key that is written always counts."""

    incidental: ClassVar[frozenset[str]] = frozenset({"preset"})  # the values that it gives are all there
    presets: ClassVar[Mapping[Any, Mapping[str, Any]]]
    apart: ClassVar[frozenset[str]] = frozenset({"preset", "notes"})  # keys that no preset speaks of

    preset: str

    @model_validator(mode="after")
    def _start_from_preset(self) -> Self:
        preset = self.presets[self.preset]
        for name, field in type(self).model_fields.items():
            if name in self.model_fields_set or name in self.apart:
                continue
            off = False if isinstance(field.default, bool) else None
            object.__setattr__(self, name, preset.get(name, off))
        return self


def _count(default: int | None = None) -> Any:
    return Field(default=default, ge=0)


def _fraction(default: float | None = None) -> Any:
    return Field(default=default, ge=0, le=1)


def _ratio(default: float | None = None) -> Any:
    return Field(default=default, ge=0)


class RulesConfig(_FromPreset):
    """Thresholds over each document's statistics, in the order in which they are applied; null: no such rule.

    A document is dropped by the first rule it breaks. Every key not written has the preset's value; the defaults shown
    are those of `docs`. docs/filters.md says what each counts, and what the presets follow.
    """

    presets = RULES
    apart = frozenset({"preset", "notes", "language_confidence"})

    preset: RulesPreset = "docs"
    """Where the thresholds start: docs, gopher, c4, fineweb or code."""
    measured_on: MeasuredOn = "prose"
    """What rules are measured on: the `prose` of a document, or all of its `text` as the papers do. Code, tables, front
    matter and markup are not prose; counts of words, lengths of lines and code's own rules are of the whole text."""
    language: str | None = "en"
    """Keep only this language (ISO 639-1); null keeps all."""
    language_confidence: float = Field(default=0.5, ge=0, le=1)
    """How sure language identification must be before it drops a document for being in another language."""
    min_language_confidence: float | None = _fraction()
    """Least confidence that a document is in `language` (FineWeb: .65)."""
    min_words: int | None = _count(5)
    """Words are what is between white space. Gopher: 50."""
    max_words: int | None = _count(100_000)
    min_mean_word_length: float | None = _ratio(2.0)
    """Characters. Gopher: 3."""
    max_mean_word_length: float | None = _ratio(20.0)
    """Gopher: 10. In documentation `collections.abc.Mapping.get(key, default=None)` is two words."""
    min_alphabetic_words: float | None = _fraction(0.6)
    """Least fraction of words that hold a letter. Gopher: .8."""
    min_stop_words: int | None = Field(default=None, ge=0, le=8)
    """Least number of different words among the, be, to, of, and, that, have, with. Gopher: 2."""
    max_hashes_per_word: float | None = _ratio(0.3)
    """Gopher: .1."""
    max_ellipses_per_word: float | None = _ratio(0.3)
    """Gopher: .1."""
    max_bullet_lines: float | None = _fraction()
    """Most fraction of lines that begin with a bullet. Gopher: .9."""
    max_ellipsis_lines: float | None = _fraction()
    """Most fraction of lines that end in an ellipsis. Gopher: .3."""
    max_duplicate_lines: float | None = _fraction()
    """Most fraction of lines that are further up in the same document too. Gopher: .3."""
    max_duplicate_line_characters: float | None = _fraction(0.3)
    """Most fraction of characters in such lines. Gopher: .2; FineWeb: .01."""
    max_duplicate_paragraphs: float | None = _fraction()
    """Gopher: .3."""
    max_duplicate_paragraph_characters: float | None = _fraction()
    """Gopher: .2."""
    max_top_bigram: float | None = _fraction()
    """Most fraction of characters in the most frequent two words in a row, from 50 words on. Gopher: .2."""
    max_top_trigram: float | None = _fraction(0.3)
    """The same of three words. Gopher: .18."""
    max_top_fourgram: float | None = _fraction()
    """The same of four words. Gopher: .16."""
    max_duplicate_5grams: float | None = _fraction()
    """Most fraction of characters in five words in a row that occur before. Gopher: .15."""
    max_duplicate_6grams: float | None = _fraction()
    """Gopher: .14."""
    max_duplicate_7grams: float | None = _fraction()
    """Gopher: .13."""
    max_duplicate_8grams: float | None = _fraction()
    """Gopher: .12."""
    max_duplicate_9grams: float | None = _fraction()
    """Gopher: .11."""
    max_duplicate_10grams: float | None = _fraction()
    """Gopher: .1."""
    min_sentences: int | None = _count()
    """C4: 5."""
    max_curly_brackets: int | None = _count()
    """Most `{` in a document. C4: 0."""
    max_lorem_ipsum: int | None = _count()
    """Most times that it says `lorem ipsum`. C4: 0."""
    min_terminal_lines: float | None = _fraction()
    """Least fraction of lines that end as sentences do. FineWeb: .12."""
    max_short_lines: float | None = _fraction()
    """Most fraction of lines of 30 characters or fewer. FineWeb: .67."""
    max_newlines_per_word: float | None = _ratio()
    """FineWeb: .3."""
    max_mean_line_length: float | None = _ratio()
    """Characters. Codex: 100."""
    max_line_length: int | None = _count()
    """Characters of the longest line. Codex: 1000."""
    min_alphanumeric_characters: float | None = _fraction()
    """Least fraction of characters that are letters or digits. StarCoder: .25."""
    max_generated_marks: int | None = _count()
    """Most marks of generated code (`autogenerated`, `automatically generated`) in the first five lines. Codex: 0."""
    max_code_characters: float | None = _fraction()
    """Most fraction of characters in code blocks."""
    max_table_characters: float | None = _fraction()
    """Most fraction of characters in tables."""
    max_code_line_length: int | None = _count()
    """Characters of the longest line in code blocks."""
    min_code_alphanumeric_characters: float | None = _fraction()
    """Least fraction of the characters in code blocks that are letters or digits."""

    @field_validator("language")
    @classmethod
    def _known(cls, code: str | None) -> str | None:
        return None if code is None else checked(code)


class LinesConfig(_FromPreset):
    """Lines that are taken out of each document before anything is measured of it, as C4 does; off by default.

    Lines that are left stay as they are, and blank lines between them become one.
    """

    presets = LINES

    preset: LinesPreset = "off"
    """Where the keys start: off, c4, or fineweb, which is c4 without terminal punctuation."""
    max_word_length: int | None = Field(default=None, ge=1)
    """Take out lines with a longer word, in characters. C4: 1000."""
    min_words: int | None = _count()
    """Take out lines with fewer words. C4: 3."""
    terminal_punctuation: bool = False
    """Take out lines that don't end as sentences do, or end in an ellipsis."""
    javascript: bool = False
    """Take out lines that say `javascript`."""
    policies: bool = False
    """Take out lines that speak of terms of use, privacy policy, cookie policy or the use of cookies."""
    citations: bool = False
    """Take `[1]`, `[]`, `[edit]` and `[citation needed]` out of lines."""

    @property
    def on(self) -> bool:
        """Whether anything is taken out."""
        return any(value not in (None, False) for name, value in self if name not in self.apart)


class LanguageConfig(Section):
    """The model that identifies documents' languages."""

    incidental: ClassVar[frozenset[str]] = frozenset({"model"})  # its digest is in the stage's key

    model: Path | None = None
    """A fastText language model (`lid.176.bin`, GlotLID); by default py3langid's, which is installed with groundup."""


class UrlsConfig(Section):
    """Documents dropped by the address that they are from, as FineWeb does. The lists are yours: none is built in.

    A file has one entry on each line; empty lines and those that begin with # are skipped.
    """

    incidental: ClassVar[frozenset[str]] = frozenset(
        {
            *("allow_domains", "block_domains", "block_addresses"),
            *("block_words_file", "soft_words_file", "block_subwords_file"),
        }
    )

    allow_domains: Path | None = None
    """A file of domains whose documents no URL rule drops; their subdomains count too."""
    block_domains: Path | None = None
    """A file of domains (`example.com`); subdomains (`shop.example.com`) go with them."""
    block_addresses: Path | None = None
    """A file of whole addresses."""
    block_words: tuple[str, ...] = ()
    """Words that drop a document wherever its address has one; a word is a run of letters and digits."""
    block_words_file: Path | None = None
    """A file with more of them."""
    soft_words: tuple[str, ...] = ()
    """Words that drop a document whose address has `soft_words_needed` of them."""
    soft_words_file: Path | None = None
    """A file with more of them."""
    soft_words_needed: int = Field(default=2, ge=1)
    """FineWeb: 2."""
    block_subwords: tuple[str, ...] = ()
    """Drop a document wherever its address, of which only letters and digits count, has one of these in it."""
    block_subwords_file: Path | None = None
    """A file with more of them."""

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named, by key."""
        return {name: value for name, value in self if isinstance(value, Path)}

    @property
    def on(self) -> bool:
        """Whether any list is given."""
        return bool(self.files or self.block_words or self.soft_words or self.block_subwords)
