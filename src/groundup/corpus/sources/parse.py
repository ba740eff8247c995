"""From the bytes of one document to its title and text, by its format."""

import re

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.extraction.formats import BINARY_READERS, TEXT_READERS
from groundup.corpus.extraction.markdown import split_front_matter
from groundup.corpus.facts import first_heading
from groundup.corpus.sources.json_rows import json_record
from groundup.corpus.sources.mail import mail
from groundup.corpus.sources.mediawiki import page_record
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record, Unread, method_of
from groundup.corpus.sources.unreadable import UnreadableError


def record_of(found: Unread, options: ReadOptions) -> Record | Failed:
    """The document that these bytes are, in the format `text`, `code`, `html`, `xml`, or one that has a reader."""
    data, format, location, name = found.data, found.format, found.location, found.title
    page = format in ("html", "xml")
    if format == "mail":
        return mail(data, location, options)
    if format == "mediawiki":
        return page_record(found)
    if format == "json-row":
        return json_record(found, options)
    try:
        if format in BINARY_READERS:
            title, text = BINARY_READERS[format](data)
            return Record(location, text, title or name)
        text = decode(data, options.contents.extraction.encoding, found.charset, page)
    except UnreadableError as error:
        return Failed(location, error, data)
    if page:
        title, text = split_front_matter(text)
        return Record(location, text, title or name, page=method_of(format, options.contents.extraction))
    if format in TEXT_READERS:
        return _marked_up(re.sub("\r\n?", "\n", text), format, location, name)
    return Record(location, text, name)


def _marked_up(text: str, format: str, location: Location, name: str) -> Record | Failed:
    """A document in a markup language; a title that is not in the text becomes its heading."""
    try:
        title, text = TEXT_READERS[format](text)
    except UnreadableError as error:
        return Failed(location, error)
    heading = first_heading(text)
    if title and heading != title and not text.lstrip("\n").startswith("# "):
        text = f"# {title}\n\n{text.lstrip(chr(10))}"
    return Record(location, text, title or heading or name)
