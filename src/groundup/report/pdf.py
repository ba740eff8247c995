"""The report as PDF: the finished page, element by element, as typst markup.

The page is the report's own, so its elements are known; one that isn't is an error, not a gap on paper. What is folded
away on the page stays away here. Needs the extra `guide` (typst).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from lxml.html import HtmlElement

TEMPLATE = Path(__file__).with_name("report.typ")
FOLDED = ("nav", "details", "footer", "style", "title", "script")
INLINE = {
    "strong": "#strong",
    "em": "#emph",
    "q": "#quoted",
    "small": "#h(.4em)#small",
    "cite": "#small",
    "span": "#plain",
}


def write_report_pdf(page: Path, out: Path) -> Path:
    """Set the report's page as the file `out`.

    Raises:
        GroundupError: typst is not installed, or can't read what was made of the page.
    """
    from groundup.report.guide.printed import compile_pdf

    folder = Path(tempfile.mkdtemp(prefix="report-"))
    try:
        shutil.copy(TEMPLATE, folder / "report.typ")
        (folder / "page.typ").write_text(page_markup(page.read_text(encoding="utf-8"), folder), encoding="utf-8")
        out.write_bytes(compile_pdf(folder, "page.typ"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def page_markup(html: str, folder: Path) -> str:
    """The page as typst markup; its drawings are written into `folder`."""
    import lxml.html

    tree = lxml.html.document_fromstring(html)
    setter = _Setter(folder)
    body = "".join(setter.block(one) for one in tree.find("body"))
    return f'#import "report.typ": *\n#show: report\n\n{body}'


class _Setter:
    """Writes elements as markup and counts the drawings."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._drawings = folder, 0

    def block(self, one: HtmlElement) -> str:
        """An element with lines of its own."""
        kinds = (one.get("class") or "").split()
        if not isinstance(one.tag, str) or one.tag in FOLDED or "brand" in kinds:
            return ""
        match one.tag:
            case "h1" | "h2" | "h3" | "h4":
                return f"\n#heading(level: {one.tag[1]})[{self.inline(one)}]\n\n"
            case "p":
                name = "lead" if "lead" in kinds else "note" if "note" in kinds else "para"
                return f"#{name}[{self.inline(one)}]\n\n"
            case "blockquote":
                return f"#quoting[{self._inside(one)}]\n\n"
            case "ul":
                cells = "".join(f"[{self.inline(item)}], " for item in one)
                return f"#{'chips' if 'chips' in kinds else 'list'}({cells})\n\n"
            case "pre":
                return f"#code({_string(one.text_content().rstrip())})\n\n"
            case "table":
                return self._table(one)
            case "dl":
                return self._named(one, kinds)
            case "figure":
                return self._figure(one)
            case "svg":
                return self._drawing(one)
            case "article":
                return f"#card[{self._inside(one)}]\n\n"
            case "div" if "figures" in kinds:
                cells = "".join(f"[{self.block(child).strip()}], " for child in one)
                return f"#side({cells})\n\n"
            case "div" if any(child.tag in INLINE for child in one):
                return f"#para[{self.inline(one)}]\n\n"
            case "header" | "main" | "section" | "div" | "dd":
                return self._inside(one)
        raise GroundupError(f"the page has an element {one.tag}, which has no form on paper", where="report/pdf.py")

    def _inside(self, one: HtmlElement) -> str:
        loose = _shown(one.text or "") if (one.text or "").strip() else ""
        return loose + "".join(self.block(child) for child in one)

    def inline(self, one: HtmlElement) -> str:
        """Running text."""
        return "".join(self._pieces(one))

    def _pieces(self, one: HtmlElement) -> Iterator[str]:
        yield _shown(one.text or "")
        for child in one:
            href = child.get("href", "")
            match child.tag:
                case "code":
                    yield f"#raw({_string(child.text_content())})"
                case "a" if href.startswith("http"):
                    yield f"#link({_string(href)})[{self.inline(child)}]"
                case "br":
                    yield " \\\n"
                case "span" if "bar" in (child.get("class") or ""):
                    yield self._bar(child)
                case "svg":
                    yield self._drawing(child)
                case name if isinstance(name, str):
                    yield f"{INLINE.get(name, '#plain')}[{self.inline(child)}]"
            yield _after(child.tail or "")

    def _bar(self, one: HtmlElement) -> str:
        fill = one.find("i")
        width = fill.get("style", "").removeprefix("width:").rstrip(";") if fill is not None else "0%"
        kind = next((kind for kind in "abc" if kind in one.get("class", "").split()), "a")
        return f"#bar({width}, {_string(kind)})"

    def _table(self, one: HtmlElement) -> str:
        heads = one.findall("thead/tr/*")
        kinds = [(cell.get("class") or "").split() for cell in heads]
        rows = one.findall("tbody/tr")
        widths = []
        for column, kind in enumerate(kinds):
            longest = max((len(row[column].text_content()) for row in rows if column < len(row)), default=0)
            widths.append("2.2cm" if "bar" in kind else "auto" if "number" in kind or longest <= 22 else f"{longest}fr")
        if not any(width.endswith("fr") for width in widths):
            widths[-1] = "1fr"
        align = ", ".join("right" if "number" in kind else "left" for kind in kinds)
        cells = "".join(f"[{self.inline(cell)}], " for cell in heads)
        body = "".join(f"[{self.inline(cell)}], " for row in rows for cell in row)
        return f"#rows(({', '.join(widths)},), ({align},), ({cells}), ({body}))\n\n"

    def _named(self, one: HtmlElement, kinds: list[str]) -> str:
        """Names with values, as tiles, in columns, or one under the other."""
        form = next((name for name in ("tiles", "glossary", "decided") if name in kinds), "facts")
        pairs = "".join(
            f"([{self.inline(pair.find('dt'))}], [{self.inline(pair.find('dd'))}]), "
            for pair in one
            if pair.find("dt") is not None
        )
        return f"#{form}({pairs})\n\n"

    def _figure(self, one: HtmlElement) -> str:
        title, note = one.find("figcaption"), one.find("p")
        drawn = "".join(self._drawing(drawing) for drawing in one.iter("svg", "{http://www.w3.org/2000/svg}svg"))
        under = self.inline(note) if note is not None else ""
        return f"#drawing([{self.inline(title) if title is not None else ''}], {drawn.strip()}, [{under}])\n\n"

    def _drawing(self, one: HtmlElement) -> str:
        from lxml import etree

        from groundup.report.guide.typeset import on_paper

        self._drawings += 1
        name = f"drawing-{self._drawings}.svg"
        written = etree.tostring(one, encoding="unicode", with_tail=False).replace("viewbox=", "viewBox=")
        (self.folder / name).write_text(on_paper(written), encoding="utf-8")
        return f"[#image({_string(name)})]"


def _shown(words: str) -> str:
    """Text as markup that shows it, white space as one space."""
    from groundup.report.guide.typeset import escaped

    kept = "".join(" " if one in " \n\t\r" else one for one in words)
    while "  " in kept:
        kept = kept.replace("  ", " ")
    return escaped(kept).replace("'", "\\'").replace('"', '\\"').replace("/", "\\/")


def _after(words: str) -> str:
    """The same after an expression, which its first character must not continue or end."""
    shown = _shown(words)
    return f"\\{shown}" if shown[:1] in (";", ".", "(") else shown


def _string(words: str) -> str:
    from groundup.report.guide.typeset import string

    return string(words.replace("\r", ""))
