"""The `curate:` section: where documents come from, what must hold for one to be kept, and where the work is done."""

from typing import ClassVar, Literal

from pydantic import Field

from groundup.corpus.contamination.configuration import Contamination
from groundup.corpus.duplicates.configuration import NearDuplicates, RepeatedUnits
from groundup.corpus.filters.configuration import LanguageConfig, LinesConfig, RulesConfig, UrlsConfig
from groundup.corpus.quality.configuration import Quality
from groundup.corpus.redaction.configuration import Redaction
from groundup.corpus.sources.configuration import Files, PythonDocs, Remote, Source
from groundup.section import Section

__all__ = ["CurateConfig", "EngineConfig", "Files", "NearDuplicates", "PythonDocs", "Remote", "RulesConfig", "Source"]


class EngineConfig(Section):
    """Where curation works. The result is the same bytes, whatever stands here."""

    kind: Literal["local", "ray"] = "local"
    """`local`: processes of this machine. `ray`: a Ray cluster, whose machines all see the run's folder and the
    sources under the same paths (needs the extra `groundup[cluster]`)."""
    workers: int | None = Field(default=None, ge=1)
    """Partitions worked on at a time; left out, one for each processor, as far as memory allows."""
    address: str | None = None
    """Of the Ray cluster (`auto`, `ray://head:10001`); left out, one is started on this machine."""


class CurateConfig(Section):
    """From sources to documents worth training on."""

    incidental: ClassVar[frozenset[str]] = frozenset({"engine"})

    sources: tuple[Source, ...] = Field(min_length=1)
    urls: UrlsConfig = UrlsConfig()
    lines: LinesConfig = LinesConfig()
    language: LanguageConfig = LanguageConfig()
    rules: RulesConfig = RulesConfig()
    redaction: Redaction | None = None
    """What belongs to persons and what opens doors: addresses, numbers, keys. Left out, nothing is looked for."""
    contamination: Contamination | None = None
    """Evaluation sets that must not be trained on. Left out, nothing is looked for."""
    quality: Quality | None = None
    """A classifier by which documents are chosen. Left out, none is asked."""
    near_duplicates: NearDuplicates = NearDuplicates()
    repeated_lines: RepeatedUnits | None = None
    """Lines that stand in many documents. Left out, they stay."""
    repeated_paragraphs: RepeatedUnits | None = None
    """The same of paragraphs."""
    heldout: float = Field(default=0.02, ge=0, lt=1)
    """Share of the kept documents that no stage trains on, chosen by the hash of their text."""
    max_document_mb: float = Field(default=8.0, gt=0)
    """Files and lines above this size are left out, and listed as such."""
    partition_mb: float = Field(default=32.0, gt=0)
    """About how much of the input is one partition: what one worker reads at a time, and one part of the result."""
    engine: EngineConfig = EngineConfig()
