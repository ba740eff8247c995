"""DOCX, PPTX, ODT and EPUB to title and text: zip archives of XML, read part by part with Expat.

Expat builds no tree and fetches nothing, and what a part unpacks to is bounded. Headings become `#`, items of lists
`- `, rows of tables `a | b`.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.entities import html5
from pathlib import PurePosixPath
from urllib.parse import unquote
from xml.parsers import expat

from groundup.corpus.clean import squeeze
from groundup.corpus.sources.unreadable import UnreadableError

_MAX_PART = 64 << 20  # bytes of one part of a document
_SLIDE = re.compile(r"ppt/slides/slide(\d{1,6})\.xml")
_LEVEL = re.compile(r"(?i)heading\s?([1-6])")
_PAGES = ("application/xhtml+xml", "text/html")

Attributes = dict[str, str]
Style = Callable[[str, Attributes], str]


@dataclass(frozen=True)
class _Elements:
    """What the elements of a format mean, by their names without namespace."""

    blocks: frozenset[str]
    """Paragraphs and what else begins on a line of its own."""
    style: Style
    """`(element, attributes)` to what the block begins with: `# `, `- `; empty where the element says nothing of it."""
    texts: frozenset[str] | None = None
    """Elements whose own characters are text; None for all."""
    rows: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    breaks: tuple[tuple[str, str], ...] = ()
    """Elements that are characters: tabs and line breaks."""


def read_docx(data: bytes) -> tuple[str, str]:
    """`(title, text)` of a Word document."""
    with _opened(data) as archive:
        return _title(archive, "docProps/core.xml"), _text(_part(archive, "word/document.xml"), _DOCX)


def read_pptx(data: bytes) -> tuple[str, str]:
    """`(title, text)` of a presentation; the title of each slide is a heading."""
    with _opened(data) as archive:
        found = sorted((int(match[1]), match[0]) for name in archive.namelist() if (match := _SLIDE.fullmatch(name)))
        slides = (_text(_part(archive, name), _PPTX) for _, name in found)
        return _title(archive, "docProps/core.xml"), "\n\n".join(filter(None, slides))


def read_odt(data: bytes) -> tuple[str, str]:
    """`(title, text)` of an OpenDocument text."""
    with _opened(data) as archive:
        return _title(archive, "meta.xml"), _text(_part(archive, "content.xml"), _ODT)


def read_epub(data: bytes) -> tuple[str, str]:
    """`(title, text)` of a book: its chapters in reading order."""
    with _opened(data) as archive:
        package = _first(_part(archive, "META-INF/container.xml"), "rootfile", "full-path")
        opf = _part(archive, package)
        folder = PurePosixPath(package).parent
        items = {one.get("id"): one for name, one in _elements(opf) if name == "item"}
        chapters = []
        for name, reference in _elements(opf):
            item = items.get(reference.get("idref")) if name == "itemref" else None
            if item is not None and item.get("media-type") in _PAGES:
                path = (folder / unquote(item.get("href", ""))).as_posix().removeprefix("./")
                chapters.append(_text(_part(archive, path), _XHTML))
        return _title(archive, package), "\n\n".join(filter(None, chapters))


def _docx_style(name: str, attributes: Attributes) -> str:
    if name == "pStyle":
        value = next((value for key, value in attributes.items() if key.endswith("val")), "")
        level = _LEVEL.fullmatch(value)
        return f"{'#' * int(level[1])} " if level else "# " if value.lower() == "title" else ""
    return "- " if name == "numPr" else ""


def _pptx_style(name: str, attributes: Attributes) -> str:
    return "## " if name == "ph" and attributes.get("type") in ("title", "ctrTitle") else ""


def _odt_style(name: str, attributes: Attributes) -> str:
    if name == "h":
        level = next((value for key, value in attributes.items() if key.endswith("outline-level")), "1")
        return f"{'#' * min(6, int(level) if level.isdigit() else 1)} "
    return "- " if name == "list-item" else ""


def _xhtml_style(name: str, _: Attributes) -> str:
    return f"{'#' * int(name[1])} " if name in _XHTML_HEADINGS else "- " if name == "li" else ""


_XHTML_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_DOCX = _Elements(
    blocks=frozenset({"p"}),
    style=_docx_style,
    texts=frozenset({"t"}),
    rows=frozenset({"tr"}),
    skipped=frozenset({"Fallback", "del", "moveFrom"}),
    breaks=(("tab", "\t"), ("br", "\n"), ("cr", "\n")),
)
_PPTX = _Elements(
    blocks=frozenset({"p"}),
    style=_pptx_style,
    texts=frozenset({"t"}),
    rows=frozenset({"tr"}),
    skipped=frozenset({"Fallback"}),
    breaks=(("br", "\n"),),
)
_ODT = _Elements(
    blocks=frozenset({"p", "h"}),
    style=_odt_style,
    rows=frozenset({"table-row"}),
    skipped=frozenset({"annotation", "tracked-changes", "note-citation", "scripts", "font-face-decls", "styles"}),
    breaks=(("tab", "\t"), ("line-break", "\n"), ("s", " ")),
)
_XHTML = _Elements(
    blocks=_XHTML_HEADINGS
    | frozenset({"p", "li", "div", "blockquote", "pre", "dt", "dd", "figcaption", "section", "tr"}),
    style=_xhtml_style,
    rows=frozenset({"tr"}),
    skipped=frozenset({"head", "script", "style", "nav", "svg"}),
    breaks=(("br", "\n"), ("td", " "), ("th", " ")),
)


class _Flow:
    """Takes Expat's events; keeps finished blocks and the one under way."""

    def __init__(self, elements: _Elements) -> None:
        self._elements, self._breaks = elements, dict(elements.breaks)
        self.blocks: list[str] = []
        self._parts: list[str] = []
        self._open: list[str] = []
        self._skipping = 0
        self._prefix = ""
        self._row: list[str] = []
        self._rows_open = 0

    def start(self, tag: str, attributes: Attributes) -> None:
        name = _local(tag)
        if self._skipping or name in self._elements.skipped:
            self._skipping += 1
            return
        self._open.append(name)
        if name in self._elements.blocks:
            self._flush()
        self._rows_open += name in self._elements.rows
        self._parts.append(self._breaks.get(name, ""))
        self._prefix = self._elements.style(name, attributes) or self._prefix

    def end(self, tag: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        name = self._open.pop()
        if name in self._elements.blocks or name in self._elements.rows:
            self._flush()
        if name in self._elements.rows:
            self._rows_open -= 1
            if not self._rows_open and self._row:
                self.blocks.append(" | ".join(self._row))
                self._row = []
        if name in ("list-item", "li"):
            self._prefix = ""

    def data(self, text: str) -> None:
        texts = self._elements.texts
        if not self._skipping and (texts is None or (self._open and self._open[-1] in texts)):
            self._parts.append(text)

    def entity(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self.data(html5.get(f"{name};", ""))

    def _flush(self) -> None:
        lines = map(squeeze, "".join(self._parts).split("\n"))
        said = "\n".join(filter(None, lines))
        self._parts.clear()
        if not said:
            return
        if self._rows_open:
            self._row.append(squeeze(said))
        else:
            self.blocks.append(self._prefix + said)
        self._prefix = ""


def _text(xml: bytes, elements: _Elements) -> str:
    flow = _Flow(elements)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.UseForeignDTD(True)  # so that `&nbsp;` without a DTD is no error
    parser.ExternalEntityRefHandler = lambda *_: 1
    parser.SkippedEntityHandler = flow.entity
    parser.StartElementHandler = flow.start
    parser.EndElementHandler = flow.end
    parser.CharacterDataHandler = flow.data
    parser.Parse(xml, True)
    return re.sub(r"(?m)^(- .*)\n\n(?=- )", r"\1\n", "\n\n".join(flow.blocks))


def _elements(xml: bytes) -> list[tuple[str, Attributes]]:
    """Every element with its attributes, in order."""
    found: list[tuple[str, Attributes]] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda tag, attributes: found.append((_local(tag), attributes))
    parser.Parse(xml, True)
    return found


def _first(xml: bytes, element: str, attribute: str) -> str:
    """An attribute of the first element of this name.

    Raises:
        UnreadableError: there is none.
    """
    for name, attributes in _elements(xml):
        if name == element and attribute in attributes:
            return attributes[attribute]
    raise UnreadableError("corrupt", f"no {element} in it")


def _title(archive: zipfile.ZipFile, part: str) -> str:
    """The document's title; empty where it has none."""
    if part not in archive.namelist():
        return ""
    titles: list[str] = []
    within: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, _: within.append(_local(tag))
    parser.EndElementHandler = lambda _: within.pop()
    parser.CharacterDataHandler = lambda text: titles.append(text) if within[-1] == "title" else None
    parser.Parse(_part(archive, part), True)
    return squeeze(titles[0]) if titles else ""


def _local(tag: str) -> str:
    return tag.rsplit(" ", 1)[-1]


@contextmanager
def _opened(data: bytes) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UnreadableError("corrupt", str(error)) from error
    except expat.ExpatError as error:
        raise UnreadableError("corrupt", f"XML in it: {error}") from error


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    """Raises UnreadableError: `unpacks-too-large`."""
    with archive.open(name) as part:
        found = part.read(_MAX_PART + 1)
    if len(found) > _MAX_PART:
        raise UnreadableError("unpacks-too-large", name, float(len(found)), float(_MAX_PART))
    return found
