"""What readers of files give: a document that has yet to be finished, or why there is none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from groundup.corpus.clean import squeeze
from groundup.corpus.extraction.configuration import Extraction
from groundup.corpus.extraction.wikitext import FILES
from groundup.corpus.extraction.worker import Method
from groundup.corpus.sources.configuration import Contents
from groundup.corpus.sources.streams import ByteStream, whole
from groundup.corpus.sources.unreadable import UnreadableError

_BY_MODE = {"precision": Method.PRECISION, "balanced": Method.BALANCED, "recall": Method.RECALL}


@dataclass(frozen=True, slots=True)
class Location:
    """Where a document was found."""

    origin: str  # `guide.md`, `rows.jsonl:12`, `wiki_00#25`
    offset: int = -1  # byte in the unpacked file, or row from 0; -1: the file is the document
    url: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A document as it is in its file."""

    location: Location
    text: str
    title: str = ""
    licence: str = ""  # its own, where it names one
    page: Method | None = None  # `text` is a page, whose main text is still to be extracted
    missing: str = ""  # what declares that the rest of it is missing
    note: str = ""  # what was done besides reading it; counted in the stage's figures


@dataclass(frozen=True, slots=True)
class Wiki:
    """What a dump says of the wiki that it is of."""

    hidden: frozenset[str] = FILES  # namespaces, in lower case, of which links show no text
    address: str = ""  # what an article's address begins with


@dataclass(frozen=True, slots=True)
class Unread:
    """The bytes of a document that is yet to be decoded and parsed."""

    location: Location
    data: bytes
    format: str
    title: str = ""  # where it has none of its own
    charset: str | None = None  # what the web server said of it, if one did
    missing: str = ""  # what declares that the rest of it is missing
    wiki: Wiki | None = None  # of a wiki's page


@dataclass(frozen=True, slots=True)
class Failed:
    """A document, or the rest of a file, that can't be read."""

    location: Location
    error: UnreadableError
    start: bytes = b""
    is_row: bool = False  # a row of a table that is not as it should be


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How the files of a source are read."""

    contents: Contents
    max_bytes: int


Found = Record | Unread | Failed


def read_whole(stream: ByteStream, format: str, relative: str, options: ReadOptions) -> Iterator[Found]:
    """A file that is one document.

    Raises:
        UnreadableError: it can't be read to its end.
    """
    yield Unread(Location(relative), whole(stream, options.max_bytes), format, _name(relative))


def method_of(format: str, extraction: Extraction) -> Method:
    """How a page of this format, `html` or `xml`, becomes text."""
    if format == "xml":
        return Method.XML
    return Method.RESILIPARSE if extraction.method == "resiliparse" else _BY_MODE[extraction.mode]


def _name(relative: str) -> str:
    """`The guide` for `docs/The_guide.md.gz`."""
    stem = Path(relative).name.split(".")[0] or relative
    return squeeze(re.sub(r"[_-]+", " ", stem))
