"""Texts as numba kernels read them: UTF-8 bytes one after the other, and where each text begins."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Union

import numpy as np
from numpy.typing import NDArray

from groundup.tokenizer.pretokenizer import PADDING

if TYPE_CHECKING:
    import pyarrow as pa

Texts = Union[Iterable[str | bytes], "pa.Array", "pa.ChunkedArray"]

BATCH_BYTES = 1 << 20


class Batch(NamedTuple):
    """Texts in a row; both arrays are read-only."""

    text: NDArray[np.uint8]  # the texts, and at least PADDING bytes after them
    offsets: NDArray[np.int64]  # (texts + 1,): where each begins, and where the last ends


def batches(texts: Texts, size: int = 0) -> Iterator[Batch]:
    """`texts` in batches of about `size` bytes (0: BATCH_BYTES), in their order; a text is never cut.

    Lone surrogates, which UTF-8 can't carry, become U+FFFD. Arrow arrays (of strings or binary) are read in place.

    Raises:
        TypeError: `texts` is a single text.
        ValueError: an Arrow array has nulls.
    """
    refuse_single(texts)
    size = size or BATCH_BYTES
    if hasattr(texts, "iterchunks"):
        for chunk in texts.iterchunks():
            yield from _of_arrow(chunk, size)
    elif hasattr(texts, "buffers"):
        yield from _of_arrow(texts, size)
    else:
        yield from _of_rows(texts, size)


def refuse_single(texts: object) -> None:
    """Raise TypeError for a string or bytes where several texts are expected: each character would be read as one."""
    if isinstance(texts, str | bytes):
        raise TypeError("a single text was given where several are expected: put it into a list")


def well_formed(text: str) -> bytes:
    r"""`text` in UTF-8, with lone surrogates (JSON's `"\ud83d"` makes them) replaced by U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def composed(text: bytes) -> bytes:
    """`text` in Unicode's normal form C; bytes that are no UTF-8 stay as they are."""
    if text.isascii():
        return text
    decoded = text.decode("utf-8", "surrogateescape")
    if unicodedata.is_normalized("NFC", decoded):
        return text
    return unicodedata.normalize("NFC", decoded).encode("utf-8", "surrogateescape")


def rows_of(texts: Texts) -> Iterator[str | bytes]:
    """The texts one after the other, whatever holds them."""
    for text in texts:
        yield text.as_py() if hasattr(text, "as_py") else text


def batch_of(rows: Sequence[bytes]) -> Batch:
    """One batch of all rows."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)), out=offsets[1:])
    return Batch(np.frombuffer(b"".join([*rows, bytes(PADDING)]), dtype=np.uint8), read_only(offsets))


def padded(text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Batch:
    """A batch of texts that lie one after the other already, from 0 on."""
    return Batch(read_only(np.concatenate([text, np.zeros(PADDING, dtype=np.uint8)])), read_only(offsets.view()))


def read_only(array: NDArray) -> NDArray:
    """For numba, which compiles a kernel once more for arrays that may be written."""
    array.flags.writeable = False
    return array


def _of_rows(texts: Iterable[str | bytes], size: int) -> Iterator[Batch]:
    rows: list[bytes] = []
    filled = 0
    for text in texts:
        row = well_formed(text) if isinstance(text, str) else bytes(text)
        rows.append(row)
        filled += len(row)
        if filled >= size:
            yield batch_of(rows)
            rows, filled = [], 0
    if rows:
        yield batch_of(rows)


def _of_arrow(array: "pa.Array", size: int) -> Iterator[Batch]:
    import pyarrow as pa

    if array.null_count:
        raise ValueError(f"{array.null_count} texts are null")
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    if not (wide or pa.types.is_string(array.type) or pa.types.is_binary(array.type)):
        array, wide = array.cast(pa.large_binary()), True
    if not len(array):
        return
    _, bounds, data = array.buffers()
    narrow = np.frombuffer(bounds, dtype=np.int64 if wide else np.int32)
    offsets: NDArray[np.int64] = narrow[array.offset : array.offset + len(array) + 1].astype(np.int64)
    text = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
    first = 0
    while first < len(array):
        last = int(np.searchsorted(offsets, offsets[first] + size))
        last = min(max(last, first + 1), len(array))
        start, end = int(offsets[first]), int(offsets[last])
        bounds_here = offsets[first : last + 1] - start
        if end + PADDING <= len(text):
            yield Batch(read_only(text[start : end + PADDING]), read_only(bounds_here))
        else:
            yield padded(text[start:end], bounds_here)
        first = last
