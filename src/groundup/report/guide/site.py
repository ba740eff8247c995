"""The site: a page a chapter, contents, glossary, and a search that needs no server."""

from __future__ import annotations

import json
import re
from pathlib import Path

from groundup.artifacts.durable import write_text
from groundup.report.glossary import TERMS, slug
from groundup.report.guide.book import Chapter
from groundup.report.guide.build import BuiltBook
from groundup.report.guide.labels import Label
from groundup.report.guide.markdown import walk
from groundup.report.guide.mathematics import plain
from groundup.report.guide.pages import PageWriter
from groundup.report.markup import Html, join, tag
from groundup.report.page import ICON

ASSETS = ("guide.css", "guide.js")
HERE = Path(__file__).parent
WORDS_OF_A_SECTION = 4000  # characters that the search knows of one


def page_of(label: Label) -> str:
    """The address of what a reference leads to."""
    return f"{label.chapter.name}.html{'#' + label.anchor if label.anchor else ''}"


def title_of(built: BuiltBook, chapter: Chapter) -> str:
    """A chapter's title: its first heading."""
    (tokens,) = [one.tokens for one in built.chapters if one.chapter == chapter]
    return next((tokens[i + 1].content for i, token in enumerate(tokens) if token.tag == "h1"), chapter.name)


def write_site(built: BuiltBook, out: Path) -> None:
    """All pages and what they load, into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ASSETS:
        write_text(out / name, (HERE / name).read_text(encoding="utf-8"))
    titles = [(one.chapter, title_of(built, one.chapter)) for one in built.chapters]
    pages = [("index.html", "Contents", _cover(built, titles))]
    for one, (chapter, title) in zip(built.chapters, titles, strict=True):
        writer = PageWriter(built.labels, page_of, chapter.where)
        for token in walk(one.tokens):
            token.meta["shown_run"] = built.run.name
        body = list(one.tokens)
        first = next(i for i, token in enumerate(body) if token.tag == "h1" and token.nesting == -1) + 1
        number = tag(
            "p",
            f"Chapter {chapter.number}" if chapter.number.isdigit() else f"Appendix {chapter.number}",
            class_="number",
        )
        head = join([number if chapter.number else None, tag("h1", title)])
        pages.append((f"{chapter.name}.html", title, join([head, writer.blocks(body[first:])])))
    pages.append(("glossary.html", "Glossary", _glossary(built)))
    menu = _menu(built, titles)
    for at, (name, title, content) in enumerate(pages):
        before = pages[at - 1] if at else None
        after = pages[at + 1] if at + 1 < len(pages) else None
        write_text(out / name, _page(built, name, title, content, menu, before, after))
    write_text(out / "search-index.js", f"const PAGES = {json.dumps(_index(built), ensure_ascii=False)};\n")


def _cover(built: BuiltBook, titles: list[tuple[Chapter, str]]) -> Html:
    lists = []
    named = {chapter.name: title for chapter, title in titles}
    for part, chapters in built.book.parts:
        items = [
            tag("li", tag("span", chapter.number), tag("a", named[chapter.name], href=f"{chapter.name}.html"))
            for chapter in chapters
        ]
        lists.append(tag("section", tag("h2", part), tag("ol", *items)))
    files = tag(
        "p", "Also as ", tag("a", "a book (PDF)", href="guide.pdf"), ", ",
        tag("a", "a sheet of one page", href="cheatsheet.pdf"),
        " and ", tag("a", "slides of the pictures", href="slides.pdf"), ".", class_="files",
    )  # fmt: skip
    over = tag(
        "p", f"This copy was built over the run {built.run.name}: every figure in it comes from there.", class_="over"
    )
    head = tag(
        "header", tag("h1", built.book.title), tag("p", built.book.subtitle, class_="lead"), over, files, class_="cover"
    )
    return join([head, tag("div", *lists, class_="contents")])


def _glossary(built: BuiltBook) -> Html:
    explained: dict[str, Chapter] = {}
    for one in built.chapters:
        for token in walk(one.tokens):
            for child in token.children or ():
                if child.type == "term" and not child.content.startswith(">"):
                    name = child.content.partition("|")[0].strip()
                    explained.setdefault(name, one.chapter)
    rows = []
    for name, meaning in sorted(TERMS.items(), key=lambda one: one[0].lower()):
        chapter = explained.get(name)
        more = (
            tag("a", f" explained in {chapter.number or 'the preface'}", href=f"{chapter.name}.html#{slug(name)}")
            if chapter
            else None
        )
        rows.append(tag("div", tag("dt", name, id=slug(name)), tag("dd", meaning, more)))
    return join([tag("h1", "Glossary"), tag("dl", *rows, class_="glossary")])


def _menu(built: BuiltBook, titles: list[tuple[Chapter, str]]) -> Html:
    named = {chapter.name: title for chapter, title in titles}
    parts = []
    for part, chapters in built.book.parts:
        items = [
            tag("li", tag("a", tag("span", chapter.number), named[chapter.name], href=f"{chapter.name}.html"))
            for chapter in chapters
        ]
        parts.append(tag("li", tag("b", part), tag("ul", *items)))
    parts.append(tag("li", tag("a", "Glossary", href="glossary.html")))
    return tag("ul", *parts)


def _page(
    built: BuiltBook, name: str, title: str, body: Html, menu: Html,
    before: tuple[str, str, Html] | None, after: tuple[str, str, Html] | None,
) -> Html:  # fmt: skip
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{title} · {built.book.title}" if name != "index.html" else built.book.title),
        Html(f'<link rel="icon" href="{ICON}"><link rel="stylesheet" href="guide.css">'),
        Html('<script src="search-index.js" defer></script><script src="guide.js" defer></script>'),
    )
    here = Html(menu.replace(f'href="{name}"', f'href="{name}" aria-current="page"'))
    bar = tag(
        "header",
        tag("button", "Contents", type="button", class_="menu", aria_expanded="false"),
        tag("a", built.book.title, href="index.html", class_="brand"),
        tag("label", tag("span", "Search"), Html('<input type="search" placeholder="Search" autocomplete="off">')),
        tag("button", "Light or dark", type="button", class_="theme", title="Light or dark"),
        class_="bar",
    )
    ways = tag(
        "nav",
        tag("a", tag("small", "before"), before[1], href=before[0], rel="prev") if before else tag("span"),
        tag("a", tag("small", "next"), after[1], href=after[0], rel="next") if after else None,
        class_="ways",
        aria_label="Before and next",
    )
    content = tag(
        "body", bar, tag("nav", here, class_="side", aria_label="Contents"), tag("div", class_="results", hidden=True),
        tag("main", body, ways),
    )  # fmt: skip
    return join([Html("<!doctype html>\n"), tag("html", head, content, lang="en"), "\n"])


def _index(built: BuiltBook) -> list[list[str]]:
    """(page and anchor, chapter, section, words) of every section."""
    found: list[list[str]] = []
    for one in built.chapters:
        title = title_of(built, one.chapter)
        found.append([f"{one.chapter.name}.html", title, "", ""])
        for at, token in enumerate(one.tokens):
            if token.type == "heading_open" and token.meta.get("anchor"):
                found.append([f"{one.chapter.name}.html#{token.meta['anchor']}", title, one.tokens[at + 1].content, ""])
                continue
            words = []
            for inner in walk([token]):
                for child in inner.children or ():
                    if child.type in ("text", "code_inline"):
                        words.append(child.content)
                    elif child.type == "term":
                        words.append(child.content.lstrip(">").rpartition("|")[2])
                    elif child.type == "value":
                        words.append(child.meta["text"])
                    elif child.type == "math":
                        words.append(plain(child.content))
                if quote := inner.meta.get("quote"):
                    words.append(quote.symbol)
                if inner.meta.get("directive") in ("command", "python"):
                    words.append(inner.meta["argument"] or inner.content)
            said = re.sub(r"\s+", " ", " ".join(words))
            found[-1][3] = (found[-1][3] + " " + said).strip()[:WORDS_OF_A_SECTION]
    return found + [[f"glossary.html#{slug(name)}", "Glossary", name, meaning] for name, meaning in TERMS.items()]
