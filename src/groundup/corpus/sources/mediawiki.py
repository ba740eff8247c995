"""Dumps of a wiki, as MediaWiki exports them (`enwiki-latest-pages-articles.xml.bz2`): each article is a document.

    <mediawiki> <siteinfo>...</siteinfo>
      <page> <title>Tea</title> <ns>0</ns> <id>12</id> <revision> <text>'''Tea''' is ...</text> </revision> </page>

The origin of an article is `dump.xml.bz2#12`. Pages are found by their tags, which the text of none can hold, and each
is parsed by itself: a damaged one costs itself. Of several revisions the last is read.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from urllib.parse import quote
from xml.parsers import expat

from groundup.corpus.extraction.wikitext import FILES, read_wikitext
from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions, Record, Unread, Wiki
from groundup.corpus.sources.streams import ByteStream, again
from groundup.corpus.sources.unreadable import UnreadableError

_PAGE = re.compile(rb"</?page>")
_TAG = len(b"</page>")
_ID = re.compile(rb"<id>(\d{1,20})</id>")
_HEAD = 1 << 16  # bytes in which <siteinfo> is
_NAMESPACE = re.compile(rb'<namespace key="(-?\d{1,6})"[^<>]*>([^<>]{1,200})</namespace>')
_BASE = re.compile(rb"<base>(https?://[^<>\s]{1,500})</base>")
_HIDDEN = (b"-2", b"6", b"14")  # media, files, categories
_ARTICLES = "0"  # their namespace


def read_pages(
    stream: ByteStream, relative: str, options: ReadOptions, wiki: Wiki | None = None, offset: int = 0
) -> Iterator[Found]:
    """The pages of a dump, or of a part of one that begins with a page.

    Args:
        wiki: what the dump says of its wiki; by default it is looked for in the stream.
        offset: bytes before the stream.

    Raises:
        UnreadableError: the stream can't be read to its end.
    """
    if wiki is None:
        wiki, stream = wiki_of(stream)
    for at, data in _pages(stream, options.max_bytes, offset):
        if isinstance(data, UnreadableError):
            yield Failed(Location(f"{relative}@{at}", at), data)
            continue
        known = _ID.search(data, 0, 4096)
        origin = f"{relative}#{int(known[1])}" if known else f"{relative}@{at}"
        yield Unread(Location(origin, at), data, "mediawiki", wiki=wiki)


def wiki_of(stream: ByteStream) -> tuple[Wiki, ByteStream]:
    """What a dump says of its wiki, and the stream from its beginning."""
    start = b""
    while len(start) < _HEAD and b"</siteinfo>" not in start and (more := stream.read(_HEAD)):
        start += more
    head = start[:_HEAD].partition(b"</siteinfo>")[0]
    names = {
        unescape(name.decode("utf-8", "replace")).lower() for key, name in _NAMESPACE.findall(head) if key in _HIDDEN
    }
    base = _BASE.search(head)
    address = base[1].decode("utf-8", "replace").rpartition("/")[0] + "/" if base else ""
    return Wiki(FILES | names, address), again(start, stream)


def _pages(stream: ByteStream, limit: int, offset: int) -> Iterator[tuple[int, bytes | UnreadableError]]:
    """`(offset, bytes)` of each page, from `<page>` to `</page>`."""
    held, searched = bytearray(), 0
    at, start = offset, -1  # of what is held, and of the page that is open
    while True:
        mark = _PAGE.search(held, searched)
        if mark is None:
            searched = max(0, len(held) - _TAG)  # where a tag can have begun
            if start < 0 or len(held) > limit:
                del held[:searched]
                at, searched = at + searched, 0
            if not (chunk := stream.read()):
                break
            held += chunk
        elif mark[0] == b"<page>":
            if start >= 0:
                yield start, UnreadableError("truncated", "another page begins before </page>")
            del held[: mark.start()]
            start = at = at + mark.start()
            searched = mark.end() - mark.start()
        else:
            size = at + mark.end() - start
            if start >= 0 and size > limit:
                yield start, UnreadableError("too-large", value=float(size), threshold=float(limit))
            elif start >= 0:
                yield start, bytes(held[: mark.end()])
            del held[: mark.end()]
            at, start, searched = at + mark.end(), -1, 0
    if start >= 0:
        yield start, UnreadableError("truncated", "the file ends before </page>")


def page_record(found: Unread) -> Record | Failed:
    """The article in a page's bytes."""
    page, wiki = _WikiPage(), found.wiki or Wiki()
    try:
        page.parse(found.data)
    except expat.ExpatError as error:
        return Failed(found.location, UnreadableError("corrupt", str(error)), found.data)
    location = found.location
    if wiki.address and page.title:
        location = replace(location, url=wiki.address + quote(page.title.replace(" ", "_"), safe="/:,()'!"))
    if reason := page.no_article:
        return Failed(location, UnreadableError("no-article", reason), found.data)
    text = read_wikitext(page.text, wiki.hidden)
    return Record(location, f"# {page.title}\n\n{text}" if text and page.title else text, page.title)


class _WikiPage:
    """What is read of a page's elements."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._parts: dict[str, list[str]] = {name: [] for name in ("title", "ns", "text", "model")}
        self._redirect = ""

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = lambda _: self._open.pop()
        parser.CharacterDataHandler = self._data
        parser.Parse(data, True)

    @property
    def title(self) -> str:
        return " ".join(self._said("title").split())

    @property
    def text(self) -> str:
        return self._said("text")

    @property
    def no_article(self) -> str:
        """Why it is none; empty for an article."""
        if self._redirect:
            return f"a redirect to {self._redirect}"
        if (namespace := self._said("ns").strip()) not in ("", _ARTICLES):
            return f"of the wiki's namespace {namespace}"
        model = self._said("model").strip()
        return f"its content is {model}" if model not in ("", "wikitext") else ""

    def _said(self, name: str) -> str:
        return "".join(self._parts[name])

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(name)
        if name in self._parts:
            self._parts[name].clear()  # of the revision before
        elif name == "redirect":
            self._redirect = attributes.get("title", "") or "another page"

    def _data(self, text: str) -> None:
        if self._open[-1] in self._parts:
            self._parts[self._open[-1]].append(text)
