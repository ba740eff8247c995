"""The stage `tokenizer`: from kept documents to `tokenizer.json` and what to know of it."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.corpus.documents import Document, read_documents
from groundup.errors import GroundupError
from groundup.progress import Progress
from groundup.tokenizer.bpe import BYTES, train_merges
from groundup.tokenizer.configuration import TokenizerConfig
from groundup.tokenizer.pretokenizer import count_words
from groundup.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer

LONGEST_TOKENS = 20
SAMPLE_CHARACTERS = 400  # of a document, shown cut into tokens
HELDOUT_BYTES = 4 << 20  # most text that the held-out figures are measured on


def stage(config: TokenizerConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Input: `curate` (documents). Trains on the documents of the train split.

    A text too small for the vocabulary asked for gives a smaller one: `vocabulary` in the figures is the real size.

    Raises:
        GroundupError: no document is left to train on.
    """
    documents = inputs["curate"].folder("documents")
    started = time.monotonic()
    total = sum(1 for _ in read_documents(documents, "train", columns=["split"]))
    if not total:
        raise GroundupError("no document is left to train on", where=str(documents), do="give `curate` more documents")
    words = count_words(
        _texts(read_documents(documents, "train", columns=["text"]), total, work.progress), config.pattern
    )
    counted = time.monotonic()
    wanted = config.vocabulary - BYTES - len(SPECIAL_TOKENS)
    merges = train_merges(words, wanted, config.min_frequency, work.progress)
    learnt = time.monotonic()
    tokenizer = Tokenizer(merges.pairs, config.pattern)
    tokenizer.save(work.out / "tokenizer.json")
    seconds = {"count_words": counted - started, "learn_merges": learnt - counted}
    write_text(work.records / "times.json", json.dumps({"seconds": seconds}, indent=1) + "\n")
    uses, train_bytes = token_uses(tokenizer, words)
    heldout = list(_heldout(read_documents(documents, "heldout", columns=["title", "text"])))
    candidates = heldout or [next(read_documents(documents, "train", columns=["title", "text"]))]
    shown = next((one for one in candidates if len(one.text) >= SAMPLE_CHARACTERS), candidates[0])
    heldout_bytes = sum(document.size for document in heldout)
    heldout_tokens = sum(map(len, tokenizer.encode_many(document.text for document in heldout)))
    bytes_per_token = train_bytes / max(1, int(uses.sum()))
    return {
        "summary": f"{tokenizer.vocabulary_size:,} words, {bytes_per_token:.2f} bytes per token",
        "vocabulary": tokenizer.vocabulary_size,
        "vocabulary_asked": config.vocabulary,
        "merges": len(merges.pairs),
        "pattern": config.pattern,
        "distinct_words": len(words),
        "bytes_per_token": {
            "train": round(bytes_per_token, 4),
            "heldout": round(heldout_bytes / heldout_tokens, 4) if heldout_tokens else None,
        },
        "never_used": round(float((uses == 0).mean()), 6),
        "longest_tokens": longest_tokens(tokenizer, LONGEST_TOKENS),
        "sample": {"title": shown.title, "tokens": cut(tokenizer, shown.text[:SAMPLE_CHARACTERS])},
    }


def _texts(documents: Iterable[Document], total: int, progress: Progress) -> Iterable[str]:
    with progress.task("count words", total, "documents") as task:
        for document in documents:
            yield document.text
            task.advance()


def _heldout(documents: Iterable[Document]) -> Iterable[Document]:
    size = 0
    for document in documents:
        yield document
        size += document.size
        if size >= HELDOUT_BYTES:
            return


def token_uses(tokenizer: Tokenizer, words: Counter[str]) -> tuple[NDArray[np.int64], int]:
    """How often each token that is not special occurs in a text of these words, and the text's bytes."""
    ids, offsets = tokenizer.encode_words(words)
    counts = np.fromiter(words.values(), dtype=np.int64, count=len(words))
    uses = np.zeros(tokenizer.vocabulary_size - len(SPECIAL_TOKENS), dtype=np.int64)
    np.add.at(uses, ids, np.repeat(counts, np.diff(offsets)))
    return uses, int((uses * tokenizer.byte_lengths[: len(uses)]).sum())


def longest_tokens(tokenizer: Tokenizer, count: int) -> list[str]:
    """The tokens of most bytes, as text; of equal ones the earlier learnt."""
    learnt = range(BYTES, tokenizer.vocabulary_size - len(SPECIAL_TOKENS))
    longest = sorted(learnt, key=lambda token: (-len(tokenizer.token_bytes(token)), token))[:count]
    return [tokenizer.decode([token]) for token in longest]


def cut(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of `text` as texts that join to it; one that ends within a character comes with what completes it."""
    pieces: list[str] = []
    pending: list[int] = []
    for token in tokenizer.encode(text):
        pending.append(token)
        spelled: Any = tokenizer.decode_bytes(pending)
        try:
            pieces.append(spelled.decode("utf-8"))
        except UnicodeDecodeError:
            continue
        pending.clear()
    return pieces
