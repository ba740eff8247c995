"""A split's documents as one row of token ids in a file that is memory-mapped, with the document of every token.

Four files for the split `train`:

- `train.bin`: the ids, uint16 where the vocabulary has at most 65,536 tokens, else uint32, little-endian; each
  document is followed by `<|endoftext|>`. The documents of a source are contiguous;
- `train.starts.bin`: int64, documents + 1 offsets in tokens; document d is `tokens[starts[d]:starts[d + 1]]`;
- `train.ids.bin`: the id of each document, 32 bytes of ASCII;
- `train.json`: which tokenizer the ids are of, how much there is of each source, and checksums of the other files.

One array per split, and not many, so that a sample is found by arithmetic and mapped once however it is drawn; it is
put together from pieces that were encoded in parallel (`encode.py`). Where no file may be too large, each of the first
three is written in parts (`parts.py`), which are mapped as one array all the same.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundup.artifacts.durable import write_text
from groundup.corpus.documents import document_id
from groundup.errors import GroundupError
from groundup.shards.parts import PART_UNIT, mapped, paths_of
from groundup.shards.sealed import SealedFile, check, corrupt
from groundup.tokenizer.tokenizer import Tokenizer

FORMAT = "groundup tokens 2"
ID = np.dtype("S32")
CHECKED_AT_ONCE = 1 << 20  # offsets


def token_dtype(vocabulary_size: int) -> np.dtype:
    """The type of the ids in the file."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


def vocabulary_digest(tokenizer: Tokenizer) -> str:
    """SHA-256 over the bytes of every token: two tokenizers with the same one read the same text out of a shard."""
    digest = hashlib.sha256()
    for token in map(tokenizer.token_bytes, range(tokenizer.vocabulary_size)):
        digest.update(len(token).to_bytes(4, "little") + token)
    return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """What there is of one source in a split. Its documents are contiguous."""

    name: str
    documents: int = 0
    tokens: int = 0  # each document's `<|endoftext|>` counted in
    bytes: int = 0  # of the texts in UTF-8; 0 where that is not known


@dataclass(frozen=True)
class Header:
    """The content of `train.json`."""

    tokenizer: str  # `vocabulary_digest`
    vocabulary: int
    end_of_text: int
    sources: tuple[Source, ...] = ()
    checksums: dict[str, list[int]] = field(default_factory=dict)  # file name -> CRC-32 of each 4 MiB
    part_bytes: int = 0  # of the parts of a file; 0, and not written down: each is one file

    @property
    def documents(self) -> int:
        return sum(source.documents for source in self.sources)

    @property
    def tokens(self) -> int:
        return sum(source.tokens for source in self.sources)

    def write(self, path: Path) -> None:
        """One value a line, checksums on one line; sealed with a digest of its own."""
        content = {"format": FORMAT, **asdict(self)}
        if not self.part_bytes:
            del content["part_bytes"]
        content["sha256"] = _digest(content)
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
        write_text(path, f"{{\n{lines}\n}}\n")

    @classmethod
    def read(cls, path: Path) -> "Header":
        """Raises GroundupError where the file is missing, damaged or of another format."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found, sealed = content.pop("format"), content.pop("sha256")
            if found != FORMAT:
                raise corrupt(path, f"is of the format {found!r}, and this version reads {FORMAT!r}")
            if _digest({"format": FORMAT, **content}) != sealed:
                raise corrupt(path, "has changed since it was written")
            content["sources"] = tuple(Source(**source) for source in content["sources"])
            header = cls(**content)
            if header.part_bytes % PART_UNIT or header.part_bytes < 0:
                raise ValueError(f"parts of {header.part_bytes} bytes")
            return header
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise corrupt(path, f"can't be read ({error})") from error


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _paths(folder: Path, split: str) -> tuple[Path, Path, Path, Path]:
    return tuple(folder / f"{split}.{name}" for name in ("bin", "starts.bin", "ids.bin", "json"))  # type: ignore[return-value]


class TokenWriter:
    """Writes a split's files, one document after the other.

    with TokenWriter(folder, "train", tokenizer) as writer:
        writer.begin("wiki")
        writer.append(document_id, ids)

    Args:
        part_bytes: of the largest file, a multiple of PART_UNIT; 0: files are as large as they get.
    """

    def __init__(self, folder: Path, split: str, tokenizer: Tokenizer, part_bytes: int = 0) -> None:
        self._paths = _paths(folder, split)
        self._header = Header(
            vocabulary_digest(tokenizer), tokenizer.vocabulary_size, tokenizer.end_of_text, part_bytes=part_bytes
        )
        self._dtype = token_dtype(tokenizer.vocabulary_size)
        self._end = np.array([tokenizer.end_of_text], dtype=self._dtype)
        self._sources: list[Source] = []

    def __enter__(self) -> "TokenWriter":
        with ExitStack() as stack:
            self._tokens, self._starts, self._ids = (
                stack.enter_context(SealedFile(path, self._header.part_bytes)) for path in self._paths[:3]
            )
            self._stack = stack.pop_all()
        self._starts.write(np.zeros(1, dtype="<i8").data)
        return self

    def begin(self, source: str) -> None:
        """What is appended from now on is of this source.

        Raises:
            ValueError: it has had its turn.
        """
        if source in (one.name for one in self._sources):
            raise ValueError(f"the documents of {source!r} must be contiguous")
        self._sources.append(Source(source))

    def append(self, document_id: str, ids: ArrayLike, size: int = 0) -> None:
        """Add a document; `<|endoftext|>` is added to its ids.

        Args:
            size: bytes of its text.

        Raises:
            ValueError: an id outside the vocabulary, or a document id that is not 1 to 32 ASCII characters.
        """
        if not (document_id.isascii() and document_id.isprintable() and 0 < len(document_id) <= ID.itemsize):
            raise ValueError(f"{document_id!r} can't be a document's id: it is not 1 to 32 ASCII characters")
        tokens = np.asarray(ids)
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self._header.vocabulary):
            raise ValueError(f"document {document_id} has a token outside the vocabulary of {self._header.vocabulary}")
        whole = np.concatenate([tokens.astype(self._dtype), self._end])
        self.append_many(np.array([document_id], dtype=ID), np.array([whole.size]), whole, size)

    def append_many(self, document_ids: NDArray, lengths: NDArray, tokens: NDArray, size: int = 0) -> None:
        """Add documents whose tokens follow one another, each with its `<|endoftext|>`, in the file's own type.

        Args:
            document_ids: (documents,) S32.
            lengths: (documents,) tokens of each.
            tokens: (sum of lengths,) uint16 or uint32.
            size: bytes of their texts together.
        """
        assert tokens.dtype == self._dtype and lengths.sum() == len(tokens)
        if not self._sources:
            self.begin("")
        before = self.tokens
        self._tokens.write(np.ascontiguousarray(tokens).data)
        self._starts.write((before + np.cumsum(lengths, dtype="<i8")).data)
        self._ids.write(np.ascontiguousarray(document_ids, dtype=ID).view(np.uint8).data)
        last = self._sources[-1]
        self._sources[-1] = Source(
            last.name, last.documents + len(lengths), last.tokens + len(tokens), last.bytes + size
        )

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(self._sources)

    @property
    def documents(self) -> int:
        return sum(source.documents for source in self._sources)

    @property
    def tokens(self) -> int:
        """Tokens so far, each document's `<|endoftext|>` counted in."""
        return sum(source.tokens for source in self._sources)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is None:
            checksums = self._tokens.checksums | self._starts.checksums | self._ids.checksums
            replace(self._header, sources=self.sources, checksums=checksums).write(self._paths[3])


def write_tokens(folder: str | Path, split: str, tokenizer: Tokenizer, texts: Iterable[str]) -> "TokenShard":
    """Encode texts, each followed by `<|endoftext|>`, into the files of a split, and map them.

    >>> import tempfile
    >>> from groundup.tokenizer import Tokenizer
    >>> shard = write_tokens(tempfile.mkdtemp(), "train", Tokenizer.train([]), ["one", "two"])
    >>> shard.tokens.tolist()
    [111, 110, 101, 256, 116, 119, 111, 256]

    Args:
        folder: made if it isn't there; files of the split in it are replaced.

    Raises:
        GroundupError: the folder can't be written to.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    with TokenWriter(path, split, tokenizer) as writer:
        for text in texts:
            writer.append(document_id(text), tokenizer.encode(text), len(text.encode("utf-8", "replace")))
    return TokenShard.open(path, split, tokenizer)


@dataclass(frozen=True)
class TokenShard:
    """A split's tokens, memory-mapped.

    >>> shard = TokenShard.of([[5, 6, 0], [7, 0]])  # in memory; 0 ends each document
    >>> len(shard), shard.documents, shard.document_at(3)
    (5, 2, 1)
    """

    tokens: NDArray[np.unsignedinteger]  # (tokens,) uint16 or uint32
    starts: NDArray[np.int64]  # (documents + 1,)
    ids: NDArray[np.bytes_]  # (documents,) S32
    sources: tuple[Source, ...]
    """In the order of their documents."""
    files: tuple[Path, str] | None = None
    """The folder and split that it is mapped from."""

    @classmethod
    def of(
        cls, documents: Sequence[ArrayLike], sources: Sequence[str] | None = None, dtype: str = "<u2"
    ) -> "TokenShard":
        """A shard in memory of documents that have their `<|endoftext|>` already; document d is called `doc<d>`.

        Args:
            sources: the source of each document, those of a source together; without it there is one.
        """
        arrays = [np.asarray(document, dtype=dtype) for document in documents]
        names = list(sources or [""] * len(arrays))
        counted: dict[str, Source] = {}
        for name, array in zip(names, arrays, strict=True):
            before = counted.get(name, Source(name))
            counted[name] = Source(name, before.documents + 1, before.tokens + len(array))
        starts = np.array([0, *accumulate(map(len, arrays))], dtype=np.int64)
        tokens = np.concatenate([np.empty(0, dtype), *arrays])
        return cls(tokens, starts, np.array([f"doc{d}" for d in range(len(arrays))], dtype=ID), tuple(counted.values()))

    @classmethod
    def open(cls, folder: Path, split: str, tokenizer: Tokenizer | None = None) -> "TokenShard":
        """Map the files of a split and check that they are what was written.

        Of each file all is looked at up to 64 MiB, and evenly spread blocks beyond; see `verify`.

        Args:
            tokenizer: with which the ids are to be read; None: any.

        Raises:
            GroundupError: a file is missing, cut short or damaged, or the ids are another tokenizer's; the message
                names it.
        """
        header_path = _paths(folder, split)[3]
        header = Header.read(header_path)
        if tokenizer is not None and header.tokenizer != vocabulary_digest(tokenizer):
            raise GroundupError(
                f"holds the ids of another tokenizer (vocabulary of {header.vocabulary:,}, digest "
                f"{header.tokenizer[:12]}) than the one given ({tokenizer.vocabulary_size:,}, "
                f"{vocabulary_digest(tokenizer)[:12]})",
                where=str(header_path),
                do="encode the documents again with this tokenizer",
            )
        cls._check(folder, split, header)
        tokens, starts, ids = _map(folder, split, header)
        _check_starts(starts, header, _paths(folder, split)[1])
        return cls(tokens, starts, ids, header.sources, (folder.absolute(), split))

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the files itself and is sent no tokens."""
        if self.files is None:
            return TokenShard, (self.tokens, self.starts, self.ids, self.sources)
        return TokenShard.open, self.files

    @classmethod
    def verify(cls, folder: Path, split: str) -> Header:
        """Compare every byte with the checksums; raises GroundupError naming the file and the position that differ."""
        header = Header.read(_paths(folder, split)[3])
        cls._check(folder, split, header, everything=True)
        return header

    @staticmethod
    def _check(folder: Path, split: str, header: Header, everything: bool = False) -> None:
        for files in _files(folder, split, header):
            for path, size in files:
                check(path, size, header.checksums.get(path.name, ()), everything)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def documents(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def spans(self) -> dict[str, tuple[int, int]]:
        """(first token, one past the last) of each source."""
        bounds = accumulate((source.tokens for source in self.sources), initial=0)
        return {source.name: span for source, span in zip(self.sources, pairwise(bounds), strict=True)}

    def document_at(self, position: int) -> int:
        """The number of the document that holds the token at `position`; its `<|endoftext|>` belongs to it."""
        if not 0 <= position < len(self):
            raise IndexError(f"there is no token {position} among {len(self)}")
        return int(np.searchsorted(self.starts, position, side="right")) - 1

    def document_id(self, document: int) -> str:
        """The id of a document by its number."""
        return str(self.ids[document].decode("ascii"))

    def source_of(self, document: int) -> str:
        """The source of a document by its number."""
        ends = accumulate(source.documents for source in self.sources)
        return next(source.name for source, end in zip(self.sources, ends, strict=True) if document < end)


def _files(folder: Path, split: str, header: Header) -> list[list[tuple[Path, int]]]:
    """`(path, bytes)` of the files of the tokens, of the starts and of the ids."""
    width = token_dtype(header.vocabulary).itemsize
    sizes = (header.tokens * width, (header.documents + 1) * 8, header.documents * ID.itemsize)
    return [paths_of(path, size, header.part_bytes) for path, size in zip(_paths(folder, split), sizes, strict=False)]


def _map(folder: Path, split: str, header: Header) -> tuple[NDArray, NDArray, NDArray]:
    """The three kinds as arrays over the mapped memory."""
    dtypes = (token_dtype(header.vocabulary), np.dtype("<i8"), ID)
    files = _files(folder, split, header)
    tokens, starts, ids = (mapped([path for path, _ in own], dtype) for own, dtype in zip(files, dtypes, strict=True))
    return tokens, starts, ids


def _check_starts(starts: NDArray[np.int64], header: Header, path: Path) -> None:
    for first in range(0, len(starts), CHECKED_AT_ONCE):
        if (np.diff(starts[first : first + CHECKED_AT_ONCE + 1]) < 1).any():
            raise corrupt(path, "has offsets that do not rise")
    if starts[0] != 0 or starts[-1] != header.tokens:
        raise corrupt(path, f"has offsets from {starts[0]:,} to {starts[-1]:,} over {header.tokens:,} tokens")
