"""The stage `curate`: sources in, `documents.parquet` and `dropped.parquet` out."""

from collections.abc import Mapping

from groundup.artifacts.manifest import Artifact
from groundup.artifacts.work import Figures, Work
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curation import curate
from groundup.corpus.documents import DOCUMENTS, DROPPED, write_documents, write_dropped
from groundup.corpus.sources import read_sources

VERSION = 1


def stage(config: CurateConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Read every source, keep what is worth training on, and write down the rest with its reasons."""
    found = read_sources(config.sources, work.base, config.max_document_mb, work.progress)
    curated = curate(found, config.rules, config.near_duplicates, config.heldout, work.progress)
    write_documents(work.out / DOCUMENTS, curated.documents)
    write_dropped(work.out / DROPPED, curated.dropped)
    kept, left_out = curated.figures["documents"], sum(curated.figures["dropped"].values())
    summary = f"{kept:,} documents kept ({curated.figures['bytes'] / 1e6:,.1f} MB), {left_out:,} left out"
    return {**curated.figures, "summary": summary}
