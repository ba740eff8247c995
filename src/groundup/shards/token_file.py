"""A split's documents as one row of token ids in a file that is memory-mapped, with the document of every token.

Three files for the split `train`:

- `train.bin`: the ids, uint16 where the vocabulary has at most 65,536 tokens, else uint32, little-endian; each
  document is followed by `<|endoftext|>`;
- `train.starts.npy`: int64, documents + 1 offsets in tokens; document d is `tokens[starts[d]:starts[d + 1]]`;
- `train.documents.txt`: the id of each document, a line each.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundup.errors import GroundupError

CHECKED_BLOCKS = 256  # looked at when a shard is opened, evenly spread: all of it up to 4 million tokens
CHECKED_TOKENS = 1 << 14  # in each block


def token_dtype(vocabulary_size: int) -> np.dtype:
    """The type of the ids in the file."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


def _paths(folder: Path, split: str) -> tuple[Path, Path, Path]:
    return folder / f"{split}.bin", folder / f"{split}.starts.npy", folder / f"{split}.documents.txt"


class TokenWriter:
    """Writes a split's files, one document after the other.

    with TokenWriter(folder, "train", vocabulary_size, end_of_text) as writer:
        writer.append(document_id, ids)
    """

    def __init__(self, folder: Path, split: str, vocabulary_size: int, end_of_text: int) -> None:
        self._bin, self._starts_path, self._documents_path = _paths(folder, split)
        self._vocabulary_size, self._dtype = vocabulary_size, token_dtype(vocabulary_size)
        self._end = np.array([end_of_text], dtype=self._dtype)
        self._starts = [0]

    def __enter__(self) -> "TokenWriter":
        self._tokens = self._bin.open("wb")
        self._documents = self._documents_path.open("w", encoding="utf-8", newline="\n")
        return self

    def append(self, document_id: str, ids: ArrayLike) -> None:
        """Add a document; `<|endoftext|>` is added to its ids.

        Raises:
            ValueError: an id outside the vocabulary, or a document id that is no single line.
        """
        tokens = np.asarray(ids)
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self._vocabulary_size):
            raise ValueError(f"document {document_id} has a token outside the vocabulary of {self._vocabulary_size}")
        if document_id.splitlines() != [document_id]:
            raise ValueError(f"{document_id!r} can't be a document's id: it is not one line")
        tokens.astype(self._dtype).tofile(self._tokens)
        self._end.tofile(self._tokens)
        self._documents.write(f"{document_id}\n")
        self._starts.append(self._starts[-1] + tokens.size + 1)

    @property
    def documents(self) -> int:
        return len(self._starts) - 1

    @property
    def tokens(self) -> int:
        """Tokens so far, each document's `<|endoftext|>` counted in."""
        return self._starts[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tokens.close()
        self._documents.close()
        if error is None:
            np.save(self._starts_path, np.array(self._starts, dtype="<i8"), allow_pickle=False)


@dataclass(frozen=True)
class TokenShard:
    """A split's tokens, memory-mapped."""

    tokens: NDArray[np.unsignedinteger]  # (tokens,) uint16 or uint32
    starts: NDArray[np.int64]  # (documents + 1,)
    document_ids: list[str]

    @classmethod
    def open(cls, folder: Path, split: str, vocabulary_size: int) -> "TokenShard":
        """Map the files of a split and check that they fit together and the vocabulary.

        The ids themselves are looked at in full up to 4 million tokens, and in evenly spread blocks beyond.

        Raises:
            GroundupError: a file is missing, cut short, or does not fit the others; the message names it.
        """
        bin_path, starts_path, documents_path = _paths(folder, split)
        try:
            starts = np.load(starts_path, allow_pickle=False)
            document_ids = documents_path.read_text(encoding="utf-8").splitlines()
            size = bin_path.stat().st_size
        except (OSError, ValueError, EOFError) as error:
            path = getattr(error, "filename", None) or (
                documents_path if isinstance(error, UnicodeDecodeError) else starts_path
            )
            raise _corrupt(Path(path), f"can't be read ({error})") from error
        if starts.dtype != np.dtype("<i8") or starts.ndim != 1 or not starts.size:
            raise _corrupt(starts_path, "is no list of offsets")
        if starts[0] != 0 or (np.diff(starts) < 1).any():
            raise _corrupt(starts_path, "has offsets that do not rise from 0")
        if len(document_ids) != len(starts) - 1:
            raise _corrupt(documents_path, f"names {len(document_ids):,} documents where there are {len(starts) - 1:,}")
        dtype = token_dtype(vocabulary_size)
        if size != starts[-1] * dtype.itemsize:
            raise _corrupt(
                bin_path, f"is {size:,} bytes long; {starts[-1]:,} tokens of {dtype.itemsize} bytes were to be in it"
            )
        # An empty file can't be mapped.
        tokens = np.memmap(bin_path, dtype=dtype, mode="r") if size else np.empty(0, dtype=dtype)
        shard = cls(tokens, starts, document_ids)
        worst = shard._highest_seen()
        if worst >= vocabulary_size:
            raise _corrupt(bin_path, f"holds token {worst}, which the vocabulary of {vocabulary_size} does not have")
        return shard

    def _highest_seen(self) -> int:
        if not self.tokens.size:
            return 0
        firsts = np.linspace(0, max(0, self.tokens.size - CHECKED_TOKENS), CHECKED_BLOCKS).astype(np.int64)
        return max(int(self.tokens[first : first + CHECKED_TOKENS].max()) for first in np.unique(firsts))

    def __len__(self) -> int:
        return len(self.tokens)

    def document_at(self, position: int) -> int:
        """The number of the document that holds the token at `position`; its `<|endoftext|>` belongs to it."""
        if not 0 <= position < len(self):
            raise IndexError(f"there is no token {position} among {len(self)}")
        return int(np.searchsorted(self.starts, position, side="right")) - 1

    def document_of(self, position: int) -> str:
        """The id of the document that holds the token at `position`."""
        return self.document_ids[self.document_at(position)]


def _corrupt(path: Path, what: str) -> GroundupError:
    return GroundupError(what, where=str(path), do="remove the folder it is in and run again: it is then made anew")
