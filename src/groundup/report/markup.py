"""HTML from values: whatever is not `Html` already is escaped, so no text of a document can become markup."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from groundup.report.glossary import TERMS, slug

# What HTML forbids, what has no glyph, and halves of characters that UTF-8 can't write.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_VOID = frozenset({"meta", "link", "br", "hr", "img"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: object) -> Html:
    """`value` as HTML: escaped, what can't be shown as U+FFFD; `Html` stays as it is."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", str(value))))


def join(parts: Iterable[object], between: str = "") -> Html:
    """All parts in a row, without those that are None."""
    return Html(text(between).join(text(part) for part in parts if part is not None))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. `class_` and `aria_label` are written `class` and `aria-label`; None omits an attribute.

    >>> tag("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    written = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written.append(key if value is True else f'{key}="{text(value)}"')
    opening = f"<{' '.join(written)}>"
    return Html(opening if name in _VOID else f"{opening}{join(children)}</{name}>")


def p(*children: object, class_: str | None = None) -> Html:
    return tag("p", *children, class_=class_)


def h3(*children: object) -> Html:
    return tag("h3", *children)


def code(value: object) -> Html:
    return tag("code", value)


def term(name: str, shown: str | None = None) -> Html:
    """A term as a link to its entry in the page's glossary, shown as its name or otherwise (a plural).

    Raises:
        KeyError: the glossary has no such term.
    """
    return tag("a", shown or name, href=f"#{slug(name)}", title=TERMS[name], class_="term")


def label(value: object) -> object:
    """`value`, as a link where it is a term of the glossary."""
    return term(value) if isinstance(value, str) and value in TERMS else value


def excerpt(value: str) -> Html:
    """A piece of a document, unchanged, with its own writing direction."""
    return tag("pre", value, class_="excerpt", dir="auto")


def listed(items: Iterable[object], class_: str | None = None) -> Html:
    return tag("ul", *(tag("li", item) for item in items), class_=class_)


def details(summary: object, *children: object, class_: str | None = None) -> Html:
    """Content that is folded until it is opened."""
    return tag("details", tag("summary", summary), *children, class_=class_)


def figure(title: object, drawing: object, note: object = None) -> Html:
    """A drawing under its title; `note`, under it, explains how to read it."""
    below = tag("p", note, class_="note") if note else None
    return tag("figure", tag("figcaption", title), drawing, below)


def side_by_side(*figures: object) -> Html:
    return tag("div", *figures, class_="figures")


def bar(fraction: float, kind: str = "a") -> Html:
    """A bar that fills `fraction` (0 to 1) of its cell; the number itself belongs in a cell next to it."""
    width = f"{100 * min(1.0, max(0.0, fraction)):.1f}"
    return tag("span", Html(f'<i style="width:{width}%"></i>'), class_=f"bar {kind}", aria_hidden="true")


@dataclass(frozen=True)
class Column:
    """A column's heading. Numbers are right-aligned; bars take the remaining width."""

    title: str
    kind: str = ""  # "", "number", "bar"


Heading = str | Column
BAR = Column("", "bar")


def number(title: str) -> Column:
    return Column(title, "number")


def table(headings: Sequence[Heading], rows: Iterable[Sequence[object]], class_: str | None = None) -> Html:
    """A table whose first column heads its rows; None gives an empty cell."""
    columns = [Column(one) if isinstance(one, str) else one for one in headings]

    def row(values: Sequence[object]) -> Html:
        first, *rest = values
        cells = [tag("td", value, class_=column.kind or None) for column, value in zip(columns[1:], rest, strict=True)]
        return tag("tr", tag("th", first, scope="row", class_=columns[0].kind or None), *cells)

    heads = [tag("th", label(column.title), scope="col", class_=column.kind or None) for column in columns]
    body = tag("tbody", *(row(values) for values in rows))
    return tag("div", tag("table", tag("thead", tag("tr", *heads)), body, class_=class_), class_="scroll")


def facts(pairs: Iterable[tuple[object, object]]) -> Html:
    """Names with their values, in as many columns as fit, without pairs whose value is None."""
    return tag(
        "dl",
        *(tag("div", tag("dt", label(name)), tag("dd", value)) for name, value in pairs if value is not None),
        class_="facts",
    )
