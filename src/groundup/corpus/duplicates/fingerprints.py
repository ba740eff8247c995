"""What is kept of each document to find its duplicates, and the files it lies in.

    digest     128 bits of the text's bytes: equal for exact duplicates alone
    band keys  64 bits for each band of the signature; documents with an equal one are candidates
    shingles   32 bits for each, in the order of the text and with repetitions: sets are made of those that are compared

A part file holds the fingerprints of a partition's documents, each kind in a row of its own, so that the search reads
one band of all documents at a time and the shingles of one document with one `pread`. All numbers are little-endian:

    header | shingles | offsets (documents + 1) | digests (documents x 2) | band keys (bands x documents)
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.minhash import (
    PADDING,
    Hashes,
    hash_shingles,
    hash_words,
    random_functions,
    sign,
    sign_texts,
)
from groundup.corpus.duplicates.normal_form import MOST_GROWTH, FormTable, table, write_form
from groundup.errors import GroundupError
from groundup.kernels.arrow import Bytes, Offsets, buffers, longest_text
from groundup.kernels.bits import load64_before
from groundup.kernels.compilation import Integer, helper, kernel
from groundup.kernels.hashing import folded

if TYPE_CHECKING:
    import pyarrow as pa

Keys = NDArray[np.uint64]

_MAGIC = int.from_bytes(b"GUPFING1", "little")
_HEADER = 8  # numbers of 64 bits: magic, shingle_words, bands, rows, digits_alike, documents, shingles, 0
_BATCH_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Of some documents."""

    digests: Keys  # [documents, 2]
    bands: Keys  # [documents, bands]; means nothing for a document without shingles
    shingles: Hashes  # of all documents in a row
    offsets: Offsets  # [documents + 1]

    def __len__(self) -> int:
        return len(self.digests)


def signatures(texts: "pa.Array", config: NearDuplicates | None = None) -> Hashes:
    """[texts, bands x rows] the MinHash signatures of texts that are in their normal form already.

    Args:
        texts: strings without nulls; words are what the space byte separates.
        config: shingle length, bands and rows.
    """
    config = config or NearDuplicates()
    functions = config.bands * config.rows
    data, offsets = buffers(texts)
    return sign_texts(data, offsets, config.shingle_words, *random_functions(functions))[:, :functions]


def fingerprint(texts: "pa.Array", config: NearDuplicates) -> Fingerprints:
    """The fingerprints of documents as they are read.

    Args:
        texts: strings without nulls; a few MB, for the work takes ten times their memory.
        config: shingle length, bands, rows, and whether digits are alike.
    """
    data, offsets = buffers(texts)
    multipliers, addends = random_functions(config.bands * config.rows)
    forms = table(bool(config.digits_alike))
    shape = config.shingle_words, config.bands, config.rows
    return Fingerprints(*_fingerprint(data, offsets, forms, shape, multipliers, addends))


class FingerprintWriter:
    """Writes one part file; only band keys and offsets are held in memory until it ends.

    A part appears under its name when it is whole: until then it has a name of its own next to it.
    """

    def __init__(self, path: Path, config: NearDuplicates) -> None:
        self._path, self._aside, self._config = path, path.with_name(f".{path.name}"), config
        self._file: IO[bytes] = self._aside.open("wb")
        self._file.write(bytes(8 * _HEADER))
        self._shingles = 0
        self._digests = [np.zeros((0, 2), dtype=np.uint64)]
        self._bands = [np.zeros((0, config.bands), dtype=np.uint64)]
        self._offsets = [np.zeros(1, dtype=np.int64)]

    def write(self, texts: "pa.Array") -> None:
        """Add documents, in their order."""
        for some in batches_of(texts, _BATCH_BYTES):
            self.add(fingerprint(some, self._config))

    def add(self, found: Fingerprints) -> None:
        """Add documents by their fingerprints."""
        self._file.write(found.shingles.astype("<u4", copy=False).data)
        self._digests.append(found.digests)
        self._bands.append(found.bands)
        self._offsets.append(found.offsets[1:] + self._shingles)
        self._shingles += len(found.shingles)

    def _end(self) -> None:
        digests, bands = np.concatenate(self._digests), np.concatenate(self._bands)
        self._file.write(bytes(-4 * self._shingles % 8))
        self._file.write(np.concatenate(self._offsets).astype("<u8").data)
        self._file.write(digests.astype("<u8", copy=False).data)
        self._file.write(np.ascontiguousarray(bands.T, dtype="<u8").data)
        self._file.seek(0)
        self._file.write(np.array([*_settings(self._config), len(digests), self._shingles, 0], dtype="<u8").data)

    def __enter__(self) -> "FingerprintWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._end()
        finally:
            self._file.close()
            if kind is not None:
                self._aside.unlink(missing_ok=True)
        self._aside.rename(self._path) if kind is None else None


class FingerprintFile:
    """One part file, of which only what is asked for is read.

    Args:
        path: what a FingerprintWriter wrote.
        config: with the settings it was written with.

    Raises:
        GroundupError: it can't be read, is damaged or has other settings.
    """

    def __init__(self, path: Path, config: NearDuplicates) -> None:
        self.path = path
        self._bands = config.bands
        try:
            with path.open("rb") as file:
                header = np.frombuffer(file.read(8 * _HEADER), dtype="<u8").tolist()
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise GroundupError(f"fingerprints can't be read ({error})", where=str(path), do=_AGAIN) from error
        if len(header) != _HEADER or header[0] != _MAGIC:
            raise GroundupError("is no file of fingerprints", where=str(path), do=_AGAIN)
        if header[: len(_settings(config))] != _settings(config):
            raise GroundupError("fingerprints were made with other settings", where=str(path), do=_AGAIN)
        self.documents, self.shingles = header[5], header[6]
        self._offsets_at = 8 * _HEADER + self.shingles * 4 + (-4 * self.shingles % 8)
        self._digests_at = self._offsets_at + 8 * (self.documents + 1)
        self._bands_at = self._digests_at + 16 * self.documents
        if size != self._bands_at + 8 * self.documents * self._bands:
            raise GroundupError("fingerprints are cut off or damaged", where=str(path), do=_AGAIN)

    def offsets(self) -> Offsets:
        """[documents + 1] where the shingles of each document start."""
        return self._numbers(self._offsets_at, self.documents + 1).astype(np.int64)

    def digests(self) -> Keys:
        """[documents, 2]"""
        return self._numbers(self._digests_at, 2 * self.documents).reshape(-1, 2)

    def band(self, band: int) -> Keys:
        """[documents] the keys of one band."""
        return self._numbers(self._bands_at + 8 * self.documents * band, self.documents)

    def opened(self) -> IO[bytes]:
        """The file, to be closed by the caller, for `read_shingles`."""
        return self.path.open("rb", buffering=0)

    def read_shingles(self, opened: IO[bytes], start: int, end: int) -> Hashes:
        """Those from `start` to `end`, counted over all documents of the file."""
        return read_shingles(opened, 8 * _HEADER + 4 * start, end - start)

    def shingles_mapped(self) -> Hashes:
        """Those of all documents, mapped into memory."""
        if not self.shingles:
            return np.zeros(0, dtype=np.uint32)
        return np.memmap(self.path, dtype="<u4", mode="r", offset=8 * _HEADER, shape=(self.shingles,)).view(np.ndarray)

    def _numbers(self, at: int, count: int) -> Keys:
        return np.fromfile(self.path, dtype="<u8", count=count, offset=at)


_AGAIN = "remove it and run the curate stage again"


def read_shingles(opened: IO[bytes], at: int, count: int) -> Hashes:
    """So many shingles of a file from byte `at` on.

    Raises:
        GroundupError: it ends before.
    """
    data = os.pread(opened.fileno(), 4 * count, at)
    if len(data) != 4 * count:
        raise GroundupError("was cut off while it was read", where=str(opened.name), do=_AGAIN)
    return np.frombuffer(data, dtype="<u4")


def _settings(config: NearDuplicates) -> list[int]:
    return [_MAGIC, config.shingle_words, config.bands, config.rows, int(bool(config.digits_alike))]


def batches_of(texts: "pa.Array", most_bytes: int) -> "Iterator[pa.Array]":
    """`texts` in slices of at most so many bytes, or of one text."""
    offsets = buffers(texts)[1]
    start = 0
    while start < len(texts):
        end = int(np.searchsorted(offsets, offsets[start] + most_bytes, side="right")) - 1
        end = max(end, start + 1)
        yield texts.slice(start, end - start)
        start = end


# ---- compiled ----

_FIRST_PRIME = np.uint64(0x9E3779B185EBCA87)
_OTHER_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)


@kernel
def _fingerprint(
    data: Bytes, offsets: Offsets, forms: FormTable, shape: tuple[int, int, int], multipliers: Hashes, addends: Hashes
) -> tuple[Keys, Keys, Hashes, Offsets]:
    size, bands, rows = shape
    documents = len(offsets) - 1
    longest = longest_text(offsets)
    form = np.empty(longest * MOST_GROWTH + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    signature = np.empty(multipliers.size, dtype=np.uint32)
    # A word and what ends it have two bytes at least, and a character that is a word by itself has three.
    shingles = np.empty((offsets[documents] - offsets[0]) // 2 + documents, dtype=np.uint32)
    ends = np.zeros(documents + 1, dtype=np.int64)
    digests = np.empty((documents, 2), dtype=np.uint64)
    keys = np.zeros((documents, bands), dtype=np.uint64)
    for one in range(documents):
        start, end = offsets[one], offsets[one + 1]
        digests[one, 0], digests[one, 1] = _digest(data, start, end)
        length = write_form(data, start, end, forms, form)
        count = hash_words(form, length, words)
        ends[one + 1] = hash_shingles(words, count, size, shingles, ends[one])
        if ends[one + 1] > ends[one]:
            sign(shingles, ends[one], ends[one + 1], multipliers, addends, signature)
            write_keys(signature, rows, keys[one])
    return digests, keys, shingles[: ends[documents]].copy(), ends


@helper
def write_keys(signature: Hashes, rows: int, keys: Keys) -> None:
    """Write the key of each band of a signature."""
    for band in range(keys.size):
        key = _FIRST_PRIME
        for row in range(band * rows, (band + 1) * rows):
            key = folded((key ^ np.uint64(signature[row])) * _OTHER_PRIME)
        keys[band] = key


@helper
def _digest(data: Bytes, start: int, end: int) -> tuple[Integer, Integer]:
    """128 bits of `data[start:end]`, in two halves computed apart from the same input."""
    first, other = np.uint64(end - start), ~np.uint64(end - start)
    at = start
    while at < end:
        eight = load64_before(data, at, end)
        first = folded((first ^ eight) * _FIRST_PRIME)
        other = (other + eight) * _OTHER_PRIME
        other ^= other >> np.uint64(29)
        at += 8
    first = (first ^ (first >> np.uint64(31))) * _OTHER_PRIME
    other = folded(other) * _FIRST_PRIME
    return folded(first), folded(other)
