"""Numbers and anchors: chapters, sections, figures, equations, exercises; and what a reference shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it.token import Token

from groundup.errors import GroundupError
from groundup.report.guide.book import Chapter
from groundup.report.guide.directives import FilledChapter
from groundup.report.guide.markdown import walk


@dataclass(frozen=True)
class Label:
    """What a reference leads to."""

    chapter: Chapter
    anchor: str
    """In the chapter's page; empty for its beginning."""
    shown: str
    """`figure 7.1`."""


def slug(words: str) -> str:
    """An anchor from a heading."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "section"


def number(filled: list[FilledChapter]) -> dict[str, Label]:
    """Number everything (`meta["number"]`, `meta["anchor"]`), and list it by its label: `fig:attention`, `ch:bpe`.

    Raises:
        GroundupError: a label is used twice.
    """
    found: dict[str, Label] = {}

    def add(label: str, chapter: Chapter, anchor: str, shown: str) -> None:
        if label in found:
            raise GroundupError(f"the label {label} is used twice", where=chapter.where)
        found[label] = Label(chapter, anchor, shown)

    for one in filled:
        chapter = one.chapter
        named = f"chapter {chapter.number}" if chapter.number.isdigit() else f"appendix {chapter.number}"
        add(f"ch:{chapter.name}", chapter, "", named if chapter.number else "the preface")
        counts = {"section": 0, "fig": 0, "eq": 0}
        anchors: set[str] = set()
        for at, token in enumerate(one.tokens):
            if token.type == "heading_open" and token.tag in ("h2", "h3"):
                title = one.tokens[at + 1].content
                anchor = slug(title)
                while anchor in anchors:
                    anchor += "-again"
                anchors.add(anchor)
                token.meta["anchor"] = anchor
                if token.tag == "h2" and chapter.number:
                    counts["section"] += 1
                    token.meta["number"] = f"{chapter.number}.{counts['section']}"
                add(f"sec:{chapter.name}#{anchor}", chapter, anchor, f"the section “{title}”")
        for token in walk(one.tokens):
            kind = {"figure": "fig", "plot": "fig", "equation": "eq"}.get(token.meta.get("directive", ""))
            if kind:
                counts[kind] += 1
                own = f"{chapter.number or 'P'}.{counts[kind]}"
                label = token.meta["label"] or f"{chapter.name}-{counts[kind]}"
                token.meta |= {"number": own, "anchor": f"{kind}-{slug(label)}"}
                shown = f"figure {own}" if kind == "fig" else f"equation ({own})"
                add(f"{kind}:{label}", chapter, token.meta["anchor"], shown)
            for exercise, _ in token.meta.get("exercises", ()):
                anchor = f"exercise-{exercise.number.replace('.', '-')}"
                add(f"ex:{exercise.number}", chapter, anchor, f"exercise {exercise.number}")
    return found


def target(token: Token, labels: dict[str, Label], where: str) -> Label | None:
    """What a link token leads to inside the book; None for one that leads outside.

    Raises:
        GroundupError: it leads nowhere.
    """
    href = str(token.attrGet("href") or "")
    if href.startswith("https://"):
        return None
    if href not in labels:
        raise GroundupError(f"refers to {href}, which is nowhere in the book", where=where)
    return labels[href]
