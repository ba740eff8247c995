"""XML to title and text: CNXML, DocBook, JATS and whatever names its elements likewise. Runs in a worker.

Expat gives one event after another and builds no tree, so neither the depth nor the number of elements matters, nothing
is fetched, and entities that multiply are refused by Expat itself.

    <section><title>Banks</title>      ->  ## Banks
      <para>They <term>lend</term>.</para>   They lend.
      <list><item>Notes</item></list>        - Notes
"""

import re
from html.entities import html5
from xml.parsers import expat

from groundup.corpus.clean import squeeze

# Elements whose text runs on in the line; every other one begins a new block. Of CNXML, DocBook, JATS, TEI and MathML.
_INLINE = frozenset(
    """a abbr acronym b bold c cite cite-title code emphasis em ext-link filename foreign hi i inline italic kbd label
    link literal mark monospace name newline no-emph phrase q quote ref s sc small span strong sub sup term tt u
    underline uri var xref footnote math semantics mrow mi mn mo ms mtext mfrac msqrt mroot mstyle msub msup msubsup
    munder mover munderover mtable mtr mtd mfenced menclose mpadded mphantom mspace entry td th cell""".split()
)
# What is said about the document and is no part of its text.
_SKIPPED = frozenset(
    "metadata script style head teiheader journal-meta article-meta processing-meta annotation annotation-xml".split()
)
_SECTIONS = frozenset("document article book chapter section sect1 sect2 sect3 sect4 sect5 sec appendix".split())
_ITEMS = frozenset({"item", "li", "listitem", "list-item"})
_CELLS = frozenset({"entry", "td", "th", "cell"})
_VERBATIM = frozenset({"pre", "preformat", "programlisting", "screen", "verbatim"})
_BETWEEN = {"mfrac": " / ", "msup": "^", "msub": "_"}  # put between the two children
_SPACED = frozenset("= + - − × ÷ · < > ≤ ≥ ≈ ≠ ± →".split())  # noqa: RUF001
_DEEPEST_HEADING = 6


def read_xml(page: str) -> tuple[str, str]:
    """`(title, text)`: paragraphs with blank lines between them, `#` headings, `- ` before items of lists.

    Raises:
        xml.parsers.expat.ExpatError: it is no XML. Nothing before the mistake is given either.
    """
    writer = _XmlText()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.UseForeignDTD(True)  # so that `&nbsp;` without a DTD is reported to a handler, and is no error
    parser.ExternalEntityRefHandler = lambda *_: 1
    parser.SkippedEntityHandler = writer.entity
    parser.StartElementHandler = writer.start
    parser.EndElementHandler = writer.end
    parser.CharacterDataHandler = writer.data
    parser.Parse(page.encode("utf-8", "replace"), True)
    return writer.title, writer.text()


class _XmlText:
    """Takes events, and keeps finished blocks and the one under way."""

    def __init__(self) -> None:
        self.title = ""
        self._blocks: list[str] = []
        self._parts: list[str] = []
        self._open: list[tuple[str, int]] = []  # name, and how many children it has so far
        self._skipped = 0  # depth of elements inside one that is skipped, itself included
        self._verbatim = 0
        self._sections = 0
        self._prefix = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rsplit(" ", 1)[-1].lower()
        parent, children = self._open[-1] if self._open else ("", 0)
        if self._open:
            self._open[-1] = parent, children + 1
        self._open.append((name, 0))
        if self._skipped or name in _SKIPPED:
            self._skipped += 1
            return
        if self._verbatim or name in _VERBATIM or (name == "code" and attributes.get("display") == "block"):
            if not self._verbatim:
                self._flush()
            self._verbatim += 1
            return
        if name in _SECTIONS:
            self._sections += 1
        if name not in _INLINE:
            self._flush()
        if name in _ITEMS:
            self._prefix = "- "
        elif name == "newline":
            self._parts.append(" ")
        elif name in _CELLS and children:
            self._parts.append(" | ")
        elif parent in _BETWEEN and children == 1:
            self._parts.append(_BETWEEN[parent])

    def end(self, tag: str) -> None:
        name, _ = self._open.pop()
        if self._skipped:
            self._skipped -= 1
            return
        if self._verbatim:
            self._verbatim -= 1
            if not self._verbatim:
                self._flush(verbatim=True)
            return
        if name == "title":
            self._flush(heading=bool(self._open) and self._open[-1][0] in _SECTIONS)
        elif name not in _INLINE:
            self._flush()
        if name in _SECTIONS:
            self._sections -= 1
        if name in _ITEMS:
            self._prefix = ""

    def data(self, text: str) -> None:
        if not self._skipped:
            operator = self._open[-1][0] == "mo" and text.strip() in _SPACED
            self._parts.append(f" {text.strip()} " if operator else text)

    def entity(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self.data(html5.get(f"{name};", ""))

    def text(self) -> str:
        self._flush()
        return re.sub(r"(?m)^(- .*)\n\n(?=- )", r"\1\n", "\n\n".join(self._blocks))

    def _flush(self, heading: bool = False, verbatim: bool = False) -> None:
        """End the block under way."""
        said = "".join(self._parts)
        self._parts.clear()
        if verbatim:
            if said.strip():
                self._blocks.append(f"```\n{said.strip(chr(10))}\n```")
            return
        said = squeeze(said)
        if not said:
            return
        if heading:
            self.title = self.title or said
            said = f"{'#' * min(max(1, self._sections), _DEEPEST_HEADING)} {said}"
        self._blocks.append(self._prefix + said)
        self._prefix = ""
