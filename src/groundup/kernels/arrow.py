"""How kernels read the bytes of Arrow texts, and how texts that they wrote become Arrow again."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.compilation import Integer, helper

if TYPE_CHECKING:
    import pyarrow as pa

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


def buffers(texts: "pa.Array") -> tuple[Bytes, Offsets]:
    """`(bytes, offsets)` of texts without copying the bytes: text i is `bytes[offsets[i]:offsets[i + 1]]`.

    Args:
        texts: an array of type string or large_string, without nulls; it may be a slice.
    """
    import pyarrow as pa

    wide = pa.types.is_large_string(texts.type)
    if not wide and not pa.types.is_string(texts.type):
        raise TypeError(f"texts are an Arrow array of strings, not of {texts.type}")
    if texts.null_count:
        raise ValueError("texts must not hold nulls")
    _, bounds, data = texts.buffers()
    if bounds is None or not len(texts):
        return np.zeros(0, dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int64)
    every = np.frombuffer(bounds, dtype=np.int64 if wide else np.int32)
    offsets = every[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    empty = data is None or data.size == 0
    return np.zeros(0, dtype=np.uint8) if empty else np.frombuffer(data, dtype=np.uint8), offsets


def as_texts(data: Bytes, offsets: Offsets) -> "pa.Array":
    """The inverse of `buffers`: a large_string array over the same memory. `data` must be UTF-8."""
    import pyarrow as pa

    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@helper
def longest_text(offsets: Offsets) -> Integer:
    """The bytes of the longest text; 0 without texts."""
    longest = 0
    for one in range(len(offsets) - 1):
        longest = max(longest, offsets[one + 1] - offsets[one])
    return longest
