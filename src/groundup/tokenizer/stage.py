"""The stage `tokenizer`: from kept documents to `tokenizer.json` and what to know of it."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.corpus.documents import Document, part_paths, read_batches, read_documents
from groundup.errors import GroundupError
from groundup.machine import threads
from groundup.progress import Progress
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.configuration import TokenizerConfig
from groundup.tokenizer.figures import compared, cut, longest_tokens, token_uses, uses_figures
from groundup.tokenizer.pretokenizer import PatternName
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import BYTES, SPECIAL_TOKENS
from groundup.tokenizer.word_files import count_corpus

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_CHARACTERS = 400  # of a document, shown cut into tokens
HELDOUT_BYTES = 4 << 20  # most text that the held-out figures are measured on


def stage(config: TokenizerConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Input: `curate` (documents). Trains on the documents of the train split; with an input `start` its tokenizer is
    kept, and measured on them.

    A text too small for the vocabulary asked for gives a smaller one: `vocabulary` in the figures is the real size.

    Raises:
        GroundupError: no document is left to train on.
    """
    documents = inputs["curate"].folder("documents")
    started = time.monotonic()
    total = sum(batch.num_rows for path in part_paths(documents) for batch in _train(path, ["split"]))
    if not total:
        raise GroundupError("no document is left to train on", where=str(documents), do="give `curate` more documents")
    given = Tokenizer.load(inputs["start"].file("tokenizer.json")) if "start" in inputs else None
    pattern: PatternName = config.pattern if config.kind == "bpe" else "character"
    if given is not None:
        pattern = given.pattern
    texts = _texts(documents, total, work.progress)
    words = count_corpus(texts, pattern, work.keep, threads(), config.min_word_count)
    counted = time.monotonic()
    wanted = 0 if config.kind == "byte" else config.vocabulary - BYTES - len(SPECIAL_TOKENS)
    tokenizer = given or Tokenizer(train_merges(words, wanted, config.min_frequency, work.progress).pairs, pattern)
    learnt = time.monotonic()
    tokenizer.save(work.out / "tokenizer.json")
    seconds = {"count_words": counted - started, "learn_merges": learnt - counted}
    write_text(work.records / "times.json", json.dumps({"seconds": seconds}, indent=1) + "\n")
    uses, train_bytes = token_uses(tokenizer, words)
    heldout = list(_heldout(read_documents(documents, "heldout", columns=["title", "text"])))
    candidates = heldout or [next(read_documents(documents, "train", columns=["title", "text"]))]
    shown = next((one for one in candidates if len(one.text) >= SAMPLE_CHARACTERS), candidates[0])
    heldout_bytes = sum(document.size for document in heldout)
    heldout_tokens = len(tokenizer.encode_many(document.text for document in heldout)[0])
    bytes_per_token = train_bytes / max(1, int(uses.sum()))
    return {
        "summary": f"{tokenizer.vocabulary_size:,} words, {bytes_per_token:.2f} bytes per token",
        "vocabulary": tokenizer.vocabulary_size,
        "vocabulary_asked": config.vocabulary,
        "merges": len(tokenizer.merges),
        "kind": config.kind,
        "pattern": pattern,
        "distinct_words": len(words),
        "bytes_per_token": {
            "train": round(bytes_per_token, 4),
            "heldout": round(heldout_bytes / heldout_tokens, 4) if heldout_tokens else None,
        },
        **uses_figures(tokenizer, uses),
        "longest_tokens": longest_tokens(tokenizer),
        "compared": compared(documents, tokenizer, work.base / config.compare.expanduser()) if config.compare else None,
        "sample": {"title": shown.title, "tokens": cut(tokenizer, shown.text[:SAMPLE_CHARACTERS])},
    }


def _texts(documents: Path, total: int, progress: Progress) -> "Iterator[pa.Array]":
    with progress.task("count words", total, "documents") as task:
        for path in part_paths(documents):
            for batch in _train(path, ["split", "text"]):
                yield batch["text"]
                task.advance(batch.num_rows)


def _train(path: Path, columns: list[str]) -> "Iterator[pa.RecordBatch]":
    """The rows of a part that are trained on."""
    import pyarrow.compute as pc

    for batch in read_batches(path, columns):
        yield batch.filter(pc.equal(batch["split"], "train"))


def _heldout(documents: Iterable[Document]) -> Iterable[Document]:
    size = 0
    for document in documents:
        yield document
        size += document.size
        if size >= HELDOUT_BYTES:
            return
