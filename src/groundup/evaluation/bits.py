"""Bits per byte on held-out documents: the model against xz and an n-gram model.

    bits per byte = nats / (ln 2 x bytes of the documents' text)

Special tokens count in neither sum, so tokenizers of any size can be compared.
"""

import lzma
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from groundup.corpus.documents import Document
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.parallel.engine import ModelOnDevice
from groundup.progress import Progress
from groundup.shards.token_file import TokenShard

ROWS = 16  # windows per forward pass
LENGTHS = {"below 1 kB": 1e3, "1 to 4 kB": 4e3, "4 to 16 kB": 16e3, "16 kB and more": math.inf}  # of a document's text


@torch.no_grad()
def document_nats(
    on_device: ModelOnDevice, shard: TokenShard, context: int, end_of_text: int, progress: Progress
) -> NDArray[np.float64]:
    """[documents] nats that the model needs for each document of a shard, read on its own after `<|endoftext|>`.

    Documents longer than the context are read in windows that overlap by half, and each token is counted once, in
    the window in which it sees the most of what precedes it.
    """
    assert isinstance(on_device.model, CustomLanguageModel)
    windows: list[tuple[int, list[int], int]] = []  # (document, tokens, how many first targets are counted elsewhere)
    for document, (first, last) in enumerate(pairwise(shard.starts.tolist())):
        tokens = [end_of_text, *shard.tokens[first : last - 1].tolist()]  # without the document's own end
        start = 0
        while start < len(tokens) - 1:
            counted = 0 if start == 0 else context - context // 2
            windows.append((document, tokens[start : start + context + 1], counted))
            if start + context + 1 >= len(tokens):
                break
            start += context // 2
    windows.sort(key=lambda window: len(window[1]))
    nats = np.zeros(len(shard.starts) - 1)
    with progress.task("held-out bits per byte", len(windows), "windows") as task:
        for index in range(0, len(windows), ROWS):
            rows = windows[index : index + ROWS]
            width = max(len(tokens) for _, tokens, _ in rows)
            ids = torch.full((len(rows), width), end_of_text, dtype=torch.long)
            counts = torch.zeros(len(rows), width - 1, dtype=torch.bool)
            for row, (_, tokens, counted) in enumerate(rows):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                counts[row, counted : len(tokens) - 1] = True
            sizes = counts.sum(1).tolist()
            ids, counts = ids.to(on_device.device), counts.to(on_device.device)
            with on_device.autocast():
                logits = on_device.model.head(on_device.model.features(DecoderInputs(ids[:, :-1]))[counts])
            each = torch.split(F.cross_entropy(logits, ids[:, 1:][counts], reduction="none"), sizes)
            for (document, _, _), some in zip(rows, each, strict=True):
                nats[document] += float(some.sum(dtype=torch.float64))
            task.advance(len(rows))
    return nats


def grouped_bits(documents: Sequence[Document], nats: Sequence[float]) -> dict[str, dict[str, dict[str, float]]]:
    """`documents`, `bytes` and `model`'s bits per byte by source, by language and by length.

    Args:
        documents: with text, source and language.
        nats: of each, as the model needs.
    """
    found: dict[str, dict[str, dict[str, float]]] = {"source": {}, "language": {}, "length": {}}
    for name in LENGTHS:  # in this order
        found["length"][name] = {}
    for document, one in zip(documents, nats, strict=True):
        length = next(name for name, limit in LENGTHS.items() if document.size < limit)
        for kind, name in (("source", document.source), ("language", document.language or "und"), ("length", length)):
            group = found[kind].get(name) or {"documents": 0, "bytes": 0, "model": 0.0}
            added = {"documents": 1, "bytes": document.size, "model": one}
            found[kind][name] = {key: group[key] + value for key, value in added.items()}
    return {
        kind: {
            name: {**group, "model": bits_per_byte(group["model"], max(1, int(group["bytes"])))}
            for name, group in groups.items()
            if group
        }
        for kind, groups in found.items()
    }


def bits_per_byte(nats: float, size: int) -> float:
    return nats / (math.log(2) * size)


def xz_bits_per_byte(texts: Sequence[bytes]) -> float:
    """What `xz -9` needs for all the texts in one file."""
    joined = b"".join(texts)
    return 8 * len(lzma.compress(joined, preset=9)) / len(joined)


def xz_primed_bits_per_byte(train: Sequence[bytes], heldout: Sequence[bytes]) -> float:
    """What `xz -9` adds for the held-out texts when it has just read the training texts (64 MB look-back)."""
    before, both = b"".join(train), b"".join([*train, *heldout])
    added = len(lzma.compress(both, preset=9)) - len(lzma.compress(before, preset=9))
    return 8 * added / sum(map(len, heldout))


@dataclass(frozen=True)
class _Level:
    """The counts of one n: each array is sorted by its keys, and `totals` and `kinds` belong to `contexts`."""

    grams: NDArray[np.uint64]
    counts: NDArray[np.int64]
    contexts: NDArray[np.uint64]
    totals: NDArray[np.int64]
    kinds: NDArray[np.int64]


class ByteNgrams:
    """An interpolated n-gram model over bytes with Witten-Bell smoothing (Witten and Bell 1991).

    p_n(c | context) = (count(context c) + T(context) p_{n-1}(c | shorter context)) / (count(context) + T(context)),
    where T is how many different bytes followed; p_0 is uniform. Counts are sorted arrays of packed bytes, so order 8
    fits 64-bit words and nothing but numpy is needed.
    """

    def __init__(self, order: int) -> None:
        """`order`: bytes looked at, the predicted one counted in (1 to 8)."""
        self.order = order
        self._levels: list[_Level] = []

    def train(self, texts: Sequence[bytes]) -> None:
        """Count all n-grams; a text's first bytes are preceded by zero bytes."""
        packed = np.concatenate([self._packed(text) for text in texts])
        for n in range(1, self.order + 1):
            grams, counts = np.unique(packed & _mask(n), return_counts=True)
            contexts, first, kinds = np.unique(grams >> np.uint64(8), return_index=True, return_counts=True)
            self._levels.append(_Level(grams, counts, contexts, np.add.reduceat(counts, first), kinds))

    def bits(self, texts: Sequence[bytes]) -> float:
        """Bits for all bytes of the texts."""
        packed = np.concatenate([self._packed(text) for text in texts])
        p = np.full(len(packed), 1 / 256)
        for n, level in enumerate(self._levels, 1):
            gram = packed & _mask(n)
            context = gram >> np.uint64(8)
            count = _lookup(level.grams, level.counts, gram)
            total = _lookup(level.contexts, level.totals, context)
            kind = _lookup(level.contexts, level.kinds, context)
            known = total > 0
            p[known] = (count[known] + kind[known] * p[known]) / (total[known] + kind[known])
        return float(-np.log2(p).sum())

    def _packed(self, text: bytes) -> NDArray[np.uint64]:
        """Each byte with the `order - 1` before it, in one word; the byte itself is lowest."""
        row = np.frombuffer(bytes(self.order - 1) + text, dtype=np.uint8).astype(np.uint64)
        packed = np.zeros(len(text), dtype=np.uint64)
        for back in range(self.order):
            start = self.order - 1 - back
            packed |= row[start : start + len(text)] << np.uint64(8 * back)
        return packed


def _mask(n: int) -> np.uint64:
    return np.uint64((1 << 8 * n) - 1)


def _lookup(keys: NDArray[np.uint64], values: NDArray[np.int64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """`values` at `wanted`, 0 where a key is unknown; `keys` are sorted."""
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[index] == wanted, values[index], 0)
