"""Columns of a batch of documents."""

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def digests(texts: "pa.Array") -> list[bytes]:
    """The first 16 bytes of each text's SHA-256, of which the id is the hex form."""
    import pyarrow as pa

    binary = texts.cast(pa.binary() if pa.types.is_string(texts.type) else pa.large_binary())
    return [sha256(text.as_buffer()).digest()[:16] for text in binary]


def as_numbers(keys: Sequence[bytes]) -> NDArray[np.uint64]:
    """[keys, 2] of keys of 16 bytes, in big-endian order, so that they sort as their hex forms do."""
    return np.frombuffer(b"".join(keys), dtype=">u8").astype(np.uint64).reshape(-1, 2)


def as_ids(numbers: NDArray[np.uint64]) -> list[str]:
    """The hex forms of [ids, 2]."""
    return [key.hex() for key in numbers.astype(">u8").view("V16").ravel().tolist()]


def byte_lengths(texts: "pa.Array") -> NDArray[np.int64]:
    """Bytes of each text in UTF-8."""
    import pyarrow.compute as pc

    return np.asarray(pc.binary_length(texts), dtype=np.int64)


def column(values: Any, kind: "pa.DataType") -> "pa.Array":
    """An Arrow array of this type from a list, a NumPy array (NaN becomes null) or an Arrow array."""
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.cast(kind)
    return pa.array(values, kind, from_pandas=isinstance(values, np.ndarray))
