"""Articles as WikiExtractor writes them: `<doc id="12" url="..." title="Anarchism">`, the text, `</doc>`.

The origin of an article is `AA/wiki_00#12`. Its text begins with the title, which becomes a heading.
"""

import re
from collections.abc import Iterator
from html import unescape

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.extraction.fences import without_spans
from groundup.corpus.extraction.wikitext import EMPTY_BRACKETS
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record
from groundup.corpus.sources.streams import ByteStream, bounded_lines
from groundup.corpus.sources.unreadable import UnreadableError

# What is left of templates and formulas that WikiExtractor does not expand.
_PLACEHOLDER = re.compile(r" ?\b(?:formula|codice)_\d{1,6}\b")
_TAG = re.compile(r"<ref[^<>]*/>|</?(?:br|nowiki|templatestyles|section|onlyinclude|noinclude)(?:\s[^<>]*)?/?>")
_START = re.compile(rb"<doc\s([^>]*)>")
_ATTRIBUTE = re.compile(r'\b(\w{1,40})="([^"]*)"')


def read_articles(
    stream: ByteStream, relative: str, options: ReadOptions, offset: int = 0
) -> Iterator[Record | Failed]:
    """The articles of a file; lines between them are `no-article`."""
    lines: list[bytes] | None = None  # of the article that is open
    size, start, head = 0, 0, b""
    for _, at, line in bounded_lines(stream, options.max_bytes, offset=offset):
        if isinstance(line, UnreadableError):
            yield Failed(
                _location(relative, start, head) if lines is not None else Location(f"{relative}@{at}", at), line
            )
            lines = None
            if line.rule != "too-large":
                return
            continue
        begins = _START.fullmatch(line.strip())
        if begins:
            if lines is not None:
                error = UnreadableError("truncated", "another article begins before </doc>")
                yield Failed(_location(relative, start, head), error, head)
            lines, size, start, head = [], 0, at, begins[1]
        elif lines is None:
            error = UnreadableError("no-article", "outside of <doc> and </doc>")
            yield Failed(Location(f"{relative}@{at}", at), error, line)
        elif line.strip() == b"</doc>":
            location = _location(relative, start, head)
            if size > options.max_bytes:
                yield Failed(location, UnreadableError("too-large", "", float(size), float(options.max_bytes)), head)
            else:
                yield _article(lines, location, head, options)
            lines = None
        else:
            size += len(line) + 1
            # A line that is not blank is a paragraph. Of an article that is too large only the size is wanted.
            if size <= options.max_bytes:
                lines.append(line)
            else:
                lines.clear()
    if lines is not None:
        yield Failed(
            _location(relative, start, head), UnreadableError("truncated", "the file ends before </doc>"), head
        )


def _attributes(head: bytes) -> dict[str, str]:
    return {name: unescape(value) for name, value in _ATTRIBUTE.findall(head.decode("utf-8", "replace"))}


def _location(relative: str, start: int, head: bytes) -> Location:
    known = _attributes(head)
    return Location(
        f"{relative}#{known['id']}" if "id" in known else f"{relative}@{start}", start, known.get("url", "")
    )


def _article(lines: list[bytes], location: Location, head: bytes, options: ReadOptions) -> Record | Failed:
    try:
        paragraphs = decode(b"\n".join(lines), options.contents.extraction.encoding).split("\n")
    except UnreadableError as error:
        return Failed(location, error, head)
    title = _attributes(head).get("title", "")
    if paragraphs and title and paragraphs[0].strip() == title:
        paragraphs[0] = f"# {title}"
    text = without_spans(_TAG.sub("", "\n\n".join(paragraphs)), "<ref", "</ref>")
    text = _PLACEHOLDER.sub("", EMPTY_BRACKETS.sub("", text))
    return Record(location, text, title)
