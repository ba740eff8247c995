"""What the stages before any training take: curation, tokenizer, token files."""

from dataclasses import replace

from groundup.corpus.configuration import CurateConfig
from groundup.planning import machine as speeds
from groundup.planning import memory as held
from groundup.planning.corpus import Corpus
from groundup.planning.curation import curation
from groundup.planning.forecast import StagePlan
from groundup.planning.machine import Machine

WRITTEN_OVER_TEXT = 0.6  # documents and ledger, over the text, compressed


def data_stages(config: CurateConfig, corpus: Corpus, machine: Machine, vocabulary: int) -> tuple[StagePlan, ...]:
    """The plans of `curate`, `tokenizer` and `tokens`.

    Args:
        config: the `curate:` section.
        vocabulary: of the tokenizer.
    """
    kept, cores = corpus.kept_bytes, machine.cores
    width = 2 if vocabulary <= 65536 else 4
    start = machine.start_seconds("data")
    curate = curation(config, corpus, cores, WRITTEN_OVER_TEXT)
    memory = {"program": held.DATA_PROGRAM_BYTES, "documents": round(held.DOCUMENTS_PER_BYTE * kept)}
    words = {"word counts": held.word_count_bytes(kept)}
    counted = start + kept / speeds.TOKENIZER_BYTES / cores
    encoded = start + kept / speeds.ENCODE_BYTES / cores
    shards = {"shards": width * corpus.tokens}
    return (
        _compiling(machine, StagePlan("curate", start + curate.seconds, memory=curate.memory, disk=curate.disk)),
        _compiling(
            machine, StagePlan("tokenizer", counted, memory=memory | words, disk={"vocabulary": 80 * vocabulary})
        ),
        _compiling(machine, StagePlan("tokens", encoded, corpus.tokens, memory=memory, disk=shards)),
    )


def _compiling(machine: Machine, stage: StagePlan) -> StagePlan:
    """A stage of kernels, which are compiled when they are used for the first time."""
    if machine.compiled:
        return stage
    seconds = stage.seconds + speeds.COMPILE_SECONDS[stage.stage]
    return replace(stage, seconds=seconds, memory=stage.memory | {"compiler": held.COMPILER_BYTES[stage.stage]})
