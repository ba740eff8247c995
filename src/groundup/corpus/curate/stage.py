"""The stage `curate`: sources in, the folders `documents` and `ledger` out."""

from collections.abc import Mapping

from groundup.artifacts.manifest import Artifact
from groundup.artifacts.work import Figures, Work
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import partitions
from groundup.corpus.engine import engine_of


def stage(config: CurateConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Read every source, keep what is worth training on, and write down the rest with its reasons."""
    engine = engine_of(config.engine)
    engine.start()
    parts = partitions(config, work.base)
    figures = curate(parts, config, work.out, work.keep, work.base, engine, work.progress)
    kept, dropped = figures["documents"], sum(figures["dropped"].values())
    summary = f"{kept:,} documents kept ({figures['bytes'] / 1e6:,.1f} MB), {dropped:,} dropped"
    if waiting := figures["dropped"].get("needs-extra"):
        summary += f"; {waiting:,} PDF files wait for pip install 'groundup[documents]'"
    return {**figures, "summary": summary}
