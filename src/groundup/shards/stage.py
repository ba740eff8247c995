"""The stage `tokens`: documents and tokenizer to token files."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.shards.configuration import TokensConfig
from groundup.shards.encode import SPLITS, Count, encode_documents
from groundup.shards.token_file import TokenShard


def stage(config: TokensConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Inputs: `curate` (documents) and `tokenizer` (tokenizer.json). Writes the files of both splits.

    Raises:
        GroundupError: no document is left to train on.
    """
    started = time.monotonic()
    documents, tokenizer = inputs["curate"].folder("documents"), inputs["tokenizer"].file("tokenizer.json")
    part_bytes = (config.part_mib or 0) << 20
    counts = encode_documents(documents, tokenizer, work.out, work.keep, config.workers, work.progress, part_bytes)
    figures: Figures = {split: figures_of([one for one in counts if one.split == split]) for split in SPLITS}
    if not figures["train"]["documents"]:
        raise GroundupError("no document is left to train on", where=str(documents), do="give `curate` more documents")
    write_text(work.records / "times.json", f'{{"seconds": {time.monotonic() - started:.3f}}}\n')
    tokens = figures["train"]["tokens"]
    header = TokenShard.verify(work.out, "train")
    return {
        **figures,
        "summary": f"{tokens:,} tokens to train on, {figures['heldout']['tokens']:,} to validate on",
        "vocabulary": header.vocabulary,
        "epoch_tokens": tokens,
    }


def figures_of(counts: Iterable[Count]) -> dict[str, Any]:
    """`documents`, `tokens` and `bytes`, in all and by `sources` and `languages`."""
    all_of: dict[str, Any] = dict.fromkeys(("documents", "tokens", "bytes"), 0) | {"sources": {}, "languages": {}}
    for one in counts:
        by_source = all_of["sources"].setdefault(one.source, dict.fromkeys(("documents", "tokens", "bytes"), 0))
        by_language = all_of["languages"].setdefault(one.language, dict.fromkeys(("documents", "tokens", "bytes"), 0))
        for total in (all_of, by_source, by_language):
            total["documents"] += one.documents
            total["tokens"] += one.tokens
            total["bytes"] += one.bytes
    return all_of
