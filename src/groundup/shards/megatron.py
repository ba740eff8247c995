"""Token shards in Megatron-LM's form and back: `PREFIX.bin` with the ids, `PREFIX.idx` with where each sequence lies.

The index, little-endian, as Megatron-core's `indexed_dataset.py` defines it:

    9 bytes  "MMIDIDX\\0\\0"
    uint64   1, the version
    uint8    the type of the ids: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16
    uint64   s, how many sequences
    uint64   d, how many entries the list of documents has: documents + 1
    int32    [s] tokens of each sequence
    int64    [s] where each begins in the .bin, in bytes
    int64    [d] the first sequence of each document, and s

A document is written as one sequence that ends with `<|endoftext|>` (what Megatron's `--append-eod` makes). The form
knows no sources and no names; a document read back has its old id again, since that is a digest of its text.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.durable import disk_error
from groundup.errors import GroundupError
from groundup.shards.token_file import ID, TokenShard, TokenWriter, token_dtype
from groundup.tokenizer.tokenizer import Tokenizer

MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
HEADER = struct.Struct("<9sQBQQ")
TYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
CODES = {"uint16": 8, "uint32": 4}  # it knows no uint32; ids below 2^31 have the same bytes as int32
AT_ONCE = 1 << 24  # tokens


def paths(prefix: Path) -> tuple[Path, Path]:
    """`(PREFIX.bin, PREFIX.idx)`; either of them may be given in place of the prefix."""
    name = prefix.name.removesuffix(".bin").removesuffix(".idx")
    return prefix.with_name(f"{name}.bin"), prefix.with_name(f"{name}.idx")


def export_megatron(shard: TokenShard, prefix: Path) -> None:
    """Write a shard as `PREFIX.bin` and `PREFIX.idx`.

    Raises:
        GroundupError: a document has more tokens than the form can say, or the disk is full.
    """
    bin_path, idx_path = paths(prefix)
    lengths = np.diff(shard.starts)
    if lengths.size and lengths.max() >= 1 << 31:
        raise GroundupError(
            f"document {shard.document_id(int(lengths.argmax()))} has {lengths.max():,} tokens; Megatron's form holds "
            "fewer than 2,147,483,648",
            where=str(idx_path),
            do="split it",
        )
    try:
        idx_path.parent.mkdir(parents=True, exist_ok=True)
        with bin_path.open("wb") as file:
            for first in range(0, len(shard), AT_ONCE):
                shard.tokens[first : first + AT_ONCE].tofile(file)
        with idx_path.open("wb") as file:
            code = CODES[shard.tokens.dtype.name]
            file.write(HEADER.pack(MAGIC, VERSION, code, len(lengths), len(lengths) + 1))
            lengths.astype("<i4").tofile(file)
            (shard.starts[:-1] * shard.tokens.dtype.itemsize).astype("<i8").tofile(file)
            np.arange(len(lengths) + 1, dtype="<i8").tofile(file)
    except OSError as error:
        raise disk_error(error, idx_path) from error


@dataclass(frozen=True)
class _Megatron:
    """A `.bin` and `.idx` that fit together."""

    tokens: NDArray[np.integer]
    bounds: NDArray[np.int64]  # (documents + 1,) in tokens
    path: Path


def import_megatron(prefix: Path, folder: Path, split: str, tokenizer: Tokenizer, source: str = "") -> TokenShard:
    """Write `PREFIX.bin` and `PREFIX.idx` as the token shard `split` in `folder`.

    A document whose last token is not `<|endoftext|>` gets one.

    Args:
        tokenizer: whose ids they are.
        source: what all the documents are said to be of.

    Raises:
        GroundupError: a file is missing or damaged, or holds ids that the tokenizer does not have.
    """
    given = _read(prefix)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TokenWriter(folder, split, tokenizer) as writer:
            writer.begin(source)
            first = 0
            while first < len(given.bounds) - 1:
                last = int(np.searchsorted(given.bounds, given.bounds[first] + AT_ONCE, side="right")) - 1
                last = max(first + 1, last)
                _append(given, first, last, tokenizer, writer)
                first = last
    except OSError as error:
        raise disk_error(error, folder) from error
    return TokenShard.open(folder, split, tokenizer)


def _append(given: _Megatron, first: int, last: int, tokenizer: Tokenizer, writer: TokenWriter) -> None:
    """Copy the documents `first` to `last - 1`."""
    bounds = given.bounds[first : last + 1]
    tokens = given.tokens[bounds[0] : bounds[-1]]
    if tokens.size and (tokens.min() < 0 or tokens.max() >= tokenizer.vocabulary_size):
        wrong = int(tokens.min() if tokens.min() < 0 else tokens.max())
        raise GroundupError(
            f"holds token {wrong}, which the vocabulary of {tokenizer.vocabulary_size:,} does not have",
            where=str(given.path),
            do="give the tokenizer that it was made with",
        )
    end, lengths = tokenizer.end_of_text, np.diff(bounds)
    ended = np.zeros(len(lengths), dtype=bool)
    ended[lengths > 0] = tokens[(bounds[1:] - bounds[0] - 1)[lengths > 0]] == end
    whole = lengths + ~ended
    out = np.full(whole.sum(), end, dtype=token_dtype(tokenizer.vocabulary_size))
    copied = np.ones(len(out), dtype=bool)
    copied[(np.cumsum(whole) - 1)[~ended]] = False
    out[copied] = tokens
    ids, size, start = [], 0, 0
    for length in whole.tolist():
        text = tokenizer.decode_bytes(out[start : start + length - 1].tolist())
        ids.append(hashlib.sha256(text).hexdigest()[: ID.itemsize])
        size, start = size + len(text), start + length
    writer.append_many(np.array(ids, dtype=ID), whole, out, size)


def _read(prefix: Path) -> _Megatron:
    bin_path, idx_path = paths(prefix)
    try:
        content = np.memmap(idx_path, dtype=np.uint8, mode="r") if idx_path.stat().st_size else np.empty(0, np.uint8)
        size = bin_path.stat().st_size
    except OSError as error:
        path = Path(error.filename or idx_path)
        raise GroundupError(f"can't be read ({error.strerror})", where=str(path), do="check the prefix") from error
    if len(content) < HEADER.size:
        raise _refused(idx_path, "is cut short")
    magic, version, code, sequences, entries = HEADER.unpack(content[: HEADER.size].tobytes())
    if magic != MAGIC or version != VERSION:
        raise _refused(idx_path, "is no index of Megatron's, version 1")
    if code not in TYPES:
        raise _refused(idx_path, f"says that the ids are of type {code}, which is none for tokens")
    rest = len(content) - HEADER.size - 12 * sequences - 8 * entries
    if rest not in (0, sequences):  # a byte for each sequence more: the modes of multimodal data
        raise _refused(idx_path, f"is {len(content):,} bytes long, which {sequences:,} sequences do not make")
    at = HEADER.size
    lengths = content[at : at + 4 * sequences].view("<i4").astype(np.int64)
    pointers = content[at + 4 * sequences : at + 12 * sequences].view("<i8")
    documents = content[at + 12 * sequences : at + 12 * sequences + 8 * entries].view("<i8")
    dtype = np.dtype(TYPES[code])
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    if (lengths < 0).any() or (pointers != starts[:-1] * dtype.itemsize).any():
        raise _refused(idx_path, "has sequences that are not contiguous")
    if not entries or documents[0] != 0 or documents[-1] != sequences or (np.diff(documents) < 0).any():
        raise _refused(idx_path, f"has documents that do not cover its {sequences:,} sequences")
    if size != starts[-1] * dtype.itemsize:
        raise _refused(
            bin_path, f"is {size:,} bytes long; {starts[-1]:,} tokens of {dtype.itemsize} bytes belong in it"
        )
    tokens = np.asarray(np.memmap(bin_path, dtype=dtype, mode="r")) if size else np.empty(0, dtype=dtype)
    return _Megatron(tokens, starts[documents], bin_path)


def _refused(path: Path, what: str) -> GroundupError:
    return GroundupError(what, where=str(path), do="make both files again with Megatron's preprocess_data.py")
