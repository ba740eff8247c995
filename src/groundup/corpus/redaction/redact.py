"""Find, count and mask what a text should not teach.

    redact(["mail jo@web.org"], config)  ->  (["mail <email>"], {"email": [1], "phone": [0], ...})

A document that is to be dropped is masked all the same, so that what is kept of it as an excerpt holds nothing either.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.redaction.candidates import KEY, candidates
from groundup.corpus.redaction.checks import CONTEXT, check
from groundup.corpus.redaction.configuration import KINDS, Kind, Redaction
from groundup.corpus.redaction.keys import PEM_BYTES
from groundup.corpus.rules import CONTAINS
from groundup.kernels.arrow import Bytes, Offsets, buffers

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class PrivateSpan:
    """A piece of a batch that is personal, or a key."""

    row: int
    kind: Kind
    start: int  # in the buffer of the batch
    end: int


def redact(texts: "pa.Array", config: Redaction) -> "tuple[pa.Array, dict[Kind, NDArray[np.int32]]]":
    """Mask every kind whose policy is not `keep`, and count all.

    Args:
        texts: Arrow strings without nulls.
        config: what becomes of each kind.

    Returns:
        `(texts, counts)`: the texts, of the same type, and for each kind [texts] how often it occurs in each. Where
        nothing is to be masked the texts are the array that was given.
    """
    buffer, offsets = buffers(texts)
    found = find(buffer, offsets)
    counts: dict[Kind, NDArray[np.int32]] = {kind: np.zeros(len(texts), dtype=np.int32) for kind in KINDS}
    for one in found:
        counts[one.kind][one.row] += 1
    masked = [one for one in found if config.policy(one.kind) != "keep"]
    return (_masked(buffer, offsets, masked, texts.type, config) if masked else texts), counts


def rules(counts: "dict[Kind, NDArray[np.int32]]", config: Redaction) -> NDArray[np.object_]:
    """[texts] the rule that drops each, `contains-card`; empty where none does."""
    broken = np.full(len(counts[KINDS[0]]), "", dtype=object)
    for kind in reversed(KINDS):
        if config.policy(kind) == "drop":
            broken[counts[kind] > 0] = f"{CONTAINS}{kind}"
    return broken


def find(buffer: Bytes, offsets: Offsets) -> list[PrivateSpan]:
    """What there is in the texts of a batch, by rising start; no two overlap.

    Args:
        buffer: UTF-8.
        offsets: [texts + 1] where each text starts, and the end of the last.
    """
    view = memoryview(buffer.data)
    found: list[PrivateSpan] = []
    for row, what, first, last in candidates(buffer, offsets).tolist():
        start, end = int(offsets[row]), int(offsets[row + 1])
        piece = bytes(view[first:last])
        reach = PEM_BYTES if what == KEY and piece.startswith(b"-----BEGIN") else CONTEXT * 3
        before, after = view[max(start, first - CONTEXT) : first], view[last : min(end, last + reach)]
        found += [
            PrivateSpan(row, kind, first + begin, first + stop)
            for kind, begin, stop in check(what, piece, bytes(before), bytes(after))
        ]
    return _without_overlaps(found)


def _without_overlaps(found: list[PrivateSpan]) -> list[PrivateSpan]:
    """Of findings that overlap the one whose kind is first in KINDS, then the one that starts first."""
    taken: list[PrivateSpan] = []
    for kind in KINDS:
        own, at, end = [], 0, 0
        for one in sorted((one for one in found if one.kind == kind), key=_start):
            while at < len(taken) and taken[at].end <= one.start:
                at += 1
            if one.start >= end and (at == len(taken) or taken[at].start >= one.end):
                own.append(one)
                end = one.end
        taken = sorted(taken + own, key=_start)
    return taken


def _start(one: PrivateSpan) -> int:
    return one.start


def _masked(
    buffer: Bytes, offsets: Offsets, found: list[PrivateSpan], kind: "pa.DataType", config: Redaction
) -> "pa.Array":
    """The texts with placeholders instead of what was found."""
    import pyarrow as pa

    view, at = memoryview(buffer.data), int(offsets[0])
    pieces: list[memoryview | bytes] = []
    grown = np.zeros(len(offsets), dtype=np.int64)
    for one in found:
        mark = config.mask(one.kind).encode()
        pieces += [view[at : one.start], mark]
        grown[one.row + 1] += len(mark) - (one.end - one.start)
        at = one.end
    pieces.append(view[at : int(offsets[-1])])
    width = np.int64 if pa.types.is_large_string(kind) else np.int32
    new = (offsets - offsets[0] + np.cumsum(grown)).astype(width)
    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(new), pa.py_buffer(b"".join(pieces))])
