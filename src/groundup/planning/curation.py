"""What curation will take: time, memory and disk, from what there is to read and how many workers read it."""

import math
from dataclasses import dataclass

from groundup.corpus.configuration import CurateConfig
from groundup.planning import machine as speeds
from groundup.planning.corpus import Corpus
from groundup.planning.memory import DATA_PROGRAM_BYTES

DOCUMENT_BYTES = 2_000  # of text in one, where nothing is known
BYTES_PER_DOCUMENT = 350  # in memory while all documents are compared, when workers hold little
WORKER_BYTES = 190 << 20  # measured, besides the program: models, row groups of Parquet
WORKER_PER_BYTE = 3.9  # measured: of a partition's text, in all its forms
KEPT_ASIDE = 1.3  # bytes on disk for each byte of text until the stage is done: candidates, fingerprints, ledger


@dataclass(frozen=True)
class Curation:
    """The estimate of the stage `curate`, in seconds (without the start of its process) and bytes."""

    seconds: float
    memory: dict[str, int]
    disk: dict[str, int]


def curation(config: CurateConfig, corpus: Corpus, cores: int, written: float) -> Curation:
    """Estimate.

    Args:
        config: the `curate:` section.
        corpus: what there is to read.
        cores: of this machine.
        written: bytes on disk for each byte of text in the result.
    """
    raw, speed = corpus.raw, speeds.CURATE_BYTES
    files = raw.text + raw.pages
    partitions = max(1, math.ceil(files / (config.partition_mb * 1e6)))
    workers = min(config.engine.workers or cores, partitions)
    seconds = raw.docs / speed["docs"] + (raw.text / speed["text"] + raw.pages / speed["pages"]) / workers
    partition = min(corpus.raw_bytes / partitions, config.partition_mb * 1e6)
    held = workers * round(WORKER_BYTES + WORKER_PER_BYTE * partition)
    comparing = BYTES_PER_DOCUMENT * corpus.raw_bytes // DOCUMENT_BYTES
    memory = {"program": DATA_PROGRAM_BYTES, "workers": held, "comparing": max(0, comparing - held)}
    disk = {"documents": round(corpus.kept_bytes * written), "while it works": round(corpus.raw_bytes * KEPT_ASIDE)}
    return Curation(seconds, memory, disk)
