"""Pieces: what one task reads. A folder is many of them, and a big file is cut into several.

How a source is cut depends on its files and on the size wanted, on nothing else; and what is read from all pieces,
one after the other, does not depend on how it was cut.
"""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Piece:
    """A file, or a part of one, of one source."""

    source: str  # the source's name
    address: str  # absolute path, or URL; differs between machines, so no artifact holds it
    relative: str  # to the folder that is walked, with `/`; documents say that they come from here
    format: str  # how it is read (`Format`, `zip`, `python-docs`); empty for a file that is skipped
    bytes: int  # to be read, as stored
    start: int = 0  # first byte, row group or member
    end: int = -1  # one past the last; -1: to the end
    first: int = 0  # rows, or lines, of the file before it
    skipped: str = ""  # the rule by which the file is skipped


class FilePart(NamedTuple):
    """A part that a file says it has: a row group, a member of an archive."""

    bytes: int  # as stored
    rows: int = 0
    start: int = 0  # where in the file it begins, of row groups
    end: int = 0
