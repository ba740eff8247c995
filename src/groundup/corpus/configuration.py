"""The `curate:` section: where documents come from, what must hold for one to be kept, and where the work is done."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from groundup.corpus.contamination.configuration import Contamination
from groundup.corpus.duplicates.configuration import NearDuplicates, RepeatedUnits
from groundup.corpus.filters.configuration import LanguageConfig, LinesConfig, RulesConfig, UrlsConfig
from groundup.corpus.filters.presets import FOR_THE_WEB
from groundup.corpus.quality.configuration import Quality
from groundup.corpus.redaction.configuration import Redaction
from groundup.corpus.sources.configuration import Files, PythonDocs, Remote, Source
from groundup.section import Section

__all__ = ["CurateConfig", "EngineConfig", "Files", "NearDuplicates", "PythonDocs", "Remote", "RulesConfig", "Source"]


class EngineConfig(Section):
    """Where curation runs. The result is the same, byte for byte, with any of these settings."""

    kind: Literal["local", "ray"] = "local"
    """`local`: processes of this machine. `ray`: a Ray cluster, whose machines all see the run's folder and the
    sources under the same paths (needs the extra `groundup[cluster]`)."""
    workers: int | None = Field(default=None, ge=1)
    """Partitions processed at a time; by default one for each processor, as far as memory allows."""
    address: str | None = None
    """Of the Ray cluster (`auto`, `ray://head:10001`); by default one is started on this machine."""
    range_documents: int = Field(default=1 << 20, ge=1)
    """Documents whose duplicates one worker decides about at a time: about 250 bytes of memory each. For billions of
    documents, several millions make fewer and larger reads."""


class CurateConfig(Section):
    """From sources to documents worth training on."""

    incidental: ClassVar[frozenset[str]] = frozenset({"engine"})

    sources: tuple[Source, ...] = ()
    """Where documents come from. Without any nothing is curated: only where no later stage reads documents."""
    urls: UrlsConfig = UrlsConfig()
    lines: LinesConfig = LinesConfig()
    language: LanguageConfig = LanguageConfig()
    rules: RulesConfig = RulesConfig()
    redaction: Redaction | None = None
    """Personal data and secrets: addresses, numbers, keys. By default nothing is masked."""
    contamination: Contamination | None = None
    """Evaluation sets that must not be trained on. By default there are none."""
    quality: Quality | None = None
    """A classifier by which documents are chosen. By default none is used."""
    near_duplicates: NearDuplicates = NearDuplicates()
    repeated_lines: RepeatedUnits | None = None
    """Lines that occur in many documents. By default they stay."""
    repeated_paragraphs: RepeatedUnits | None = None
    """The same for paragraphs."""
    heldout: float = Field(default=0.02, ge=0, lt=1)
    """Fraction of the kept documents that no stage trains on, chosen by the hash of their text."""
    max_document_mb: float = Field(default=8.0, gt=0)
    """Larger files and lines are skipped, and listed in the ledger as `too-large`."""
    partition_mb: float = Field(default=32.0, gt=0)
    """Approximate size of a partition of the input: what one worker reads at a time, and one part of the result."""
    engine: EngineConfig = EngineConfig()

    @model_validator(mode="after")
    def _digits(self) -> Self:
        if self.near_duplicates.digits_alike is None:
            decided = {"digits_alike": self.rules.preset in FOR_THE_WEB}
            object.__setattr__(self, "near_duplicates", self.near_duplicates.model_copy(update=decided))
        return self

    @property
    def complete_sources(self) -> tuple[Source, ...]:
        """The sources with `code` filled in: the rules' preset decides where a source leaves it open."""
        code = self.rules.preset == "code"
        return tuple(
            source
            if isinstance(source, PythonDocs) or source.code is not None
            else source.model_copy(update={"code": code})
            for source in self.sources
        )
