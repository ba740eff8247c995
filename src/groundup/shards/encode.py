"""Documents to token shards, in parallel and the same byte for byte however many processes take part.

    documents/part-00000.parquet ...  ->  a piece for each row group, in any order, kept in `keep`
    all pieces, in their order        ->  train.bin and heldout.bin with their indexes

A piece depends on its row group and the tokenizer alone, and the files are put together in the order of sources and
pieces: the number of workers changes nothing, and a run that was killed resumes with the pieces that are missing. In a
split the documents of a source are contiguous, sources by name and documents in the corpus's order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.durable import disk_error, sha256_of
from groundup.corpus.documents import Split, part_paths
from groundup.corpus.engine import DataEngine
from groundup.errors import GroundupError
from groundup.machine import threads
from groundup.progress import Progress, Silent
from groundup.shards.token_file import ID, TokenWriter, token_dtype
from groundup.tokenizer.tokenizer import Tokenizer

SPLITS: tuple[Split, ...] = ("train", "heldout")
GROUPED_BY = ("split", "source", "language")  # what documents are sorted by
BYTES_PER_WORKER = 256 << 20  # of text: for less, threads of one process do better than starting another


@dataclass(frozen=True)
class EncodeTask:
    """A row group to encode into a piece: `<out>.tokens` and `<out>.npz`, the latter last."""

    documents: Path
    group: int
    rows: int
    bytes: int
    tokenizer: Path
    digest: str  # of the tokenizer's file
    out: Path
    threads: int

    @property
    def label(self) -> str:
        return f"{self.documents.name}, row group {self.group}"

    @property
    def index(self) -> Path:
        return self.out.with_suffix(".npz")

    @property
    def tokens(self) -> Path:
        return self.out.with_suffix(".tokens")


@dataclass(frozen=True)
class Count:
    """How much there is of one source in one language, in one split."""

    split: str
    source: str
    language: str
    documents: int
    tokens: int  # each document's `<|endoftext|>` counted in
    bytes: int  # of the texts in UTF-8


def encode_documents(
    documents: Path,
    tokenizer: Path,
    out: Path,
    keep: Path,
    workers: int | None = None,
    progress: Progress | None = None,
    part_bytes: int = 0,
) -> list[Count]:
    """Encode the folder `documents` of the curate stage into the token shards `train` and `heldout` in `out`.

    Args:
        documents: holds `part-*.parquet`.
        tokenizer: its `tokenizer.json`.
        keep: a folder for the pieces; those that are there already, of the same documents and tokenizer, are used.
        workers: processes; None: one for each core, and for little text the threads of one.
        progress: where to show the work.
        part_bytes: of the largest file (see TokenWriter).

    Raises:
        GroundupError: there is no document, or a file can't be read or written.
    """
    tasks, progress = _tasks(documents, tokenizer, keep), progress or Silent()
    keep.mkdir(parents=True, exist_ok=True)
    missing = [task for task in tasks if not task.index.is_file()]
    rows, left = (sum(task.rows for task in some) for some in (tasks, missing))
    engine = DataEngine(workers=workers or _workers(missing))
    if engine.workers == 1:
        missing = [replace(task, threads=threads()) for task in missing]
    with progress.task("encode documents", rows, "documents", done=rows - left) as bar:
        for at, _ in engine.map(_encode, missing, [task.label for task in missing], keep / "marks"):
            bar.advance(missing[at].rows)
    try:
        return _join(tasks, Tokenizer.load(tokenizer), out, part_bytes)
    except OSError as error:
        raise disk_error(error, out) from error


def _tasks(documents: Path, tokenizer: Path, keep: Path) -> list[EncodeTask]:
    tasks, digest = [], sha256_of(tokenizer)
    for number, path in enumerate(part_paths(documents)):
        with _parquet(path) as file:
            groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
        for number_in_file, group in enumerate(groups):
            out = keep / f"piece-{number:05}-{number_in_file:05}"
            size = group.total_byte_size
            tasks.append(EncodeTask(path, number_in_file, group.num_rows, size, tokenizer, digest, out, threads=1))
    return tasks


def _workers(tasks: list[EncodeTask]) -> int:
    return min(threads(), 1 + sum(task.bytes for task in tasks) // BYTES_PER_WORKER)


@lru_cache(maxsize=1)
def _loaded(tokenizer: Path, digest: str) -> Tokenizer:
    """A worker encodes many pieces with one tokenizer."""
    return Tokenizer.load(tokenizer)


def _encode(task: EncodeTask) -> None:
    """Make a piece: the group's documents sorted by split, source and language, otherwise as they come."""
    import pyarrow.compute as pc

    tokenizer = _loaded(task.tokenizer, task.digest)
    with _parquet(task.documents) as file:
        rows = file.read_row_group(task.group, columns=["id", "text", *GROUPED_BY])
    order = pc.sort_indices(rows, [(name, "ascending") for name in GROUPED_BY])  # a stable sort
    rows = rows.take(order).combine_chunks()
    ids, offsets = tokenizer.encode_many(rows["text"].combine_chunks(), task.threads)
    lengths = np.diff(offsets) + 1
    tokens = np.full(lengths.sum(), tokenizer.end_of_text, dtype=token_dtype(tokenizer.vocabulary_size))
    is_text = np.ones(len(tokens), dtype=bool)
    is_text[np.cumsum(lengths) - 1] = False
    tokens[is_text] = ids
    sizes = pc.binary_length(rows["text"]).to_numpy().astype(np.int64)
    groups = list(zip(*(rows[name].to_pylist() for name in GROUPED_BY), strict=True))
    bounds = [0, *(at for at in range(1, len(groups)) if groups[at] != groups[at - 1]), len(groups)]
    counts = [(b - a, lengths[a:b].sum(), sizes[a:b].sum()) for a, b in pairwise(bounds)] if groups else []
    try:
        tokens.tofile(task.tokens)
        aside = task.out.with_name(f".{task.out.name}.npz")
        np.savez(
            aside,
            groups=np.array([groups[at] for at in bounds[:-1] if groups], dtype=str).reshape(-1, len(GROUPED_BY)),
            counts=np.array(counts, dtype=np.int64).reshape(-1, 3),
            ids=np.array(rows["id"].to_pylist(), dtype=ID),
            lengths=lengths,
        )
        aside.rename(task.index)
    except OSError as error:
        raise disk_error(error, task.out) from error


def _join(tasks: list[EncodeTask], tokenizer: Tokenizer, out: Path, part_bytes: int) -> list[Count]:
    """Put the pieces together, split by split and source by source."""
    dtype = token_dtype(tokenizer.vocabulary_size)
    tables = [_table(task) for task in tasks]
    total: dict[tuple[str, str, str], NDArray[np.int64]] = {}
    for table in tables:
        for group, counts in table:
            total[group] = total.get(group, 0) + counts
    for split in SPLITS:
        with TokenWriter(out, split, tokenizer, part_bytes) as writer:
            for source in sorted({group[1] for group in total if group[0] == split}):
                writer.begin(source)
                for task, table in zip(tasks, tables, strict=True):
                    _copy(task, table, split, source, writer, dtype)
    return [Count(*group, *map(int, counts)) for group, counts in sorted(total.items())]


GroupCounts = list[tuple[tuple[str, str, str], NDArray[np.int64]]]


def _table(task: EncodeTask) -> GroupCounts:
    with np.load(task.index) as index:
        groups, counts = index["groups"].tolist(), index["counts"]
    return [((split, source, language), row) for (split, source, language), row in zip(groups, counts, strict=True)]


def _copy(task: EncodeTask, table: GroupCounts, split: str, source: str, writer: TokenWriter, dtype: np.dtype) -> None:
    """Append a piece's documents of one source and split: its languages follow one another."""
    before, here = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for group, counts in table:
        if group[:2] < (split, source):
            before += counts
        elif group[:2] == (split, source):
            here += counts
    if not here[0]:
        return
    with np.load(task.index) as index:
        chosen = slice(int(before[0]), int(before[0] + here[0]))
        ids, lengths = index["ids"][chosen], index["lengths"][chosen]
    tokens = np.fromfile(task.tokens, dtype=dtype, count=int(here[1]), offset=int(before[1]) * dtype.itemsize)
    writer.append_many(ids, lengths, tokens, int(here[2]))


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do="run the curate stage again") from error
