"""What is worth knowing of a tokenizer: how its tokens are used, how it cuts text, and how it compares."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.documents import part_paths, read_batches
from groundup.tokenizer.compare import read_other
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import BYTES, SPECIAL_TOKENS
from groundup.tokenizer.word_counts import Words

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_TOKENS = 20  # longest, rarest, never used
RARE = 10  # uses; below it a token has hardly been learnt when training ends
COMPARED_BYTES = 1 << 20  # of text of each source and each language that two tokenizers are compared on
GROUPED_BY = ("source", "language")


def token_uses(tokenizer: Tokenizer, words: Words) -> tuple[NDArray[np.int64], int]:
    """How often each token that is not special occurs in a text of these words, and the text's bytes."""
    ids, offsets = tokenizer.encode_words(words)
    uses = np.zeros(tokenizer.vocabulary_size - len(SPECIAL_TOKENS), dtype=np.int64)
    np.add.at(uses, ids, np.repeat(words.counts, np.diff(offsets)))
    return uses, int((uses * tokenizer.byte_lengths[: len(uses)]).sum())


def uses_figures(tokenizer: Tokenizer, uses: NDArray[np.int64]) -> dict[str, Any]:
    """`never_used` and `rare` (fractions of the vocabulary), `uses` (tokens by powers of ten of their uses), and the
    learnt tokens that are used least, as `[text, uses]`. Of equal ones the later learnt is first: it is a part of no
    other token, so it is there for nothing."""
    powers = np.floor(np.log10(np.maximum(uses, 1))).astype(int)
    by_power = {"0": int((uses == 0).sum())}
    for power in range(int(powers.max(initial=0)) + 1):
        low, high = 10**power, 10 ** (power + 1) - 1
        by_power[f"{low:,} to {high:,}"] = int(((powers == power) & (uses > 0)).sum())
    learnt = range(len(uses) - 1, BYTES - 1, -1)
    least = sorted(learnt, key=lambda token: uses[token])[:SHOWN_TOKENS]
    return {
        "never_used": round(float((uses == 0).mean()), 6),
        "rare": round(float((uses < RARE).mean()), 6),
        "uses": by_power,
        "least_used": [[tokenizer.decode([token]), int(uses[token])] for token in least],
    }


def longest_tokens(tokenizer: Tokenizer, count: int = SHOWN_TOKENS) -> list[str]:
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


def compared(documents: Path, tokenizer: Tokenizer, other: Path) -> dict[str, Any]:
    """How many tokens this tokenizer and another need for the same text, by source and by language.

    The text is the first MiB of each source's documents, and of each language's, of both splits.

    Args:
        other: where the other lies; see `read_other`.

    Returns:
        `name` and `vocabulary` of the other, and for each of `sources` and `languages`, by name: `bytes`, `ours`,
        `theirs`.
    """
    theirs = read_other(other)
    found: dict[str, dict[str, dict[str, int]]] = {"sources": {}, "languages": {}}
    for text, groups in _samples(documents):
        sizes = [len(text.encode()), *(len(one.encode_many([text])[0]) for one in (tokenizer, theirs))]
        for kind, name in groups:
            counts = found[kind].setdefault(name, dict.fromkeys(("bytes", "ours", "theirs"), 0))
            for key, size in zip(counts, sizes, strict=True):
                counts[key] += size
    by_name = {kind: dict(sorted(counts.items())) for kind, counts in found.items()}
    return {"name": other.name, "vocabulary": theirs.vocabulary_size, **by_name}


def _samples(documents: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Texts, each with the sources and languages that it is a sample of. Only files that hold what is still wanted are
    read, and no further than it takes."""
    held: Counter[tuple[str, str]] = Counter()
    for path in part_paths(documents):
        here = {group for batch in read_batches(path, GROUPED_BY) for groups in _groups(batch) for group in groups}
        for batch in read_batches(path, ["text", *GROUPED_BY]):
            if all(held[group] >= COMPARED_BYTES for group in here):
                break
            for text, groups in zip(batch["text"].to_pylist(), _groups(batch), strict=True):
                wanting = [group for group in groups if held[group] < COMPARED_BYTES]
                if wanting:
                    held.update(dict.fromkeys(wanting, len(text.encode())))
                    yield text, wanting


def _groups(batch: "pa.RecordBatch") -> Iterator[list[tuple[str, str]]]:
    for source, language in zip(*(batch[name].to_pylist() for name in GROUPED_BY), strict=True):
        yield [("sources", source), ("languages", language)]
