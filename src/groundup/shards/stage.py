"""The stage `tokens`: documents and tokenizer to token files."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.corpus.documents import Split, read_documents
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent
from groundup.shards.configuration import TokensConfig
from groundup.shards.token_file import TokenWriter
from groundup.tokenizer.tokenizer import Tokenizer

SPLITS: tuple[Split, ...] = ("train", "heldout")


def stage(config: TokensConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Inputs: `curate` (documents) and `tokenizer` (tokenizer.json). Writes the files of both splits.

    Raises:
        GroundupError: no document is left to train on.
    """
    started = time.monotonic()
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    documents = inputs["curate"].folder("documents")
    figures: Figures = {split: write_split(documents, split, tokenizer, work.out, work.progress) for split in SPLITS}
    if not figures["train"]["documents"]:
        raise GroundupError("no document is left to train on", where=str(documents), do="give `curate` more documents")
    seconds = time.monotonic() - started
    write_text(work.records / "times.json", f'{{"seconds": {seconds:.3f}}}\n')
    tokens = figures["train"]["tokens"]
    summary = f"{tokens:,} tokens to train on, {figures['heldout']['tokens']:,} held out"
    return {**figures, "summary": summary, "vocabulary": tokenizer.vocabulary_size, "epoch_tokens": tokens}


def write_split(
    documents: Path, split: Split, tokenizer: Tokenizer, folder: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Encode the documents of one split into token files in `folder`.

    Returns:
        `documents`, `tokens` (each document's `<|endoftext|>` counted in), `bytes` (of the texts in UTF-8).
    """
    total = sum(1 for _ in read_documents(documents, split, columns=["split"]))
    size = 0
    with (
        TokenWriter(folder, split, tokenizer.vocabulary_size, tokenizer.end_of_text) as writer,
        (progress or Silent()).task(f"encode {split} documents", total, "documents") as task,
    ):
        for document in read_documents(documents, split, columns=["id", "text"]):
            (ids,) = tokenizer.encode_many([document.text])
            writer.append(document.id, ids)
            size += document.size
            task.advance()
    return {"documents": writer.documents, "tokens": writer.tokens, "bytes": size}
