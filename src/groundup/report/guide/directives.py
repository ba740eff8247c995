"""Directives: what a fence `{name} argument` asks the build for. Parsed first, filled in when the code has run.

| directive | gives |
|---|---|
| `{source} SYMBOL` | a definition of the package; the body is its caption |
| `{command} LINE` | a command and what it prints; body: `head: 20` |
| `{python}` | code with what it prints; `{setup}`: code that is run and not shown |
| `{figure} NAME label=L key=value` | a figure of `figures.FIGURES`; the body is its caption |
| `{plot} L` | curves that code computes; above `---` the caption, below it the code |
| `{equation} L` and `{where}` | a numbered equation, and its symbols: `x: meaning` a line |
| `{exercises}` | the chapter's exercises; `{solutions}` those of all chapters |
| `{tried} HEADING` | a section of docs/experiments.md |
| `{note} TITLE`, `{look} TITLE`, `{warning} TITLE` | set-off text |
| `{if} STAGE` | text for runs that have the stage; `{unless} STAGE` the opposite |
| `{notes} SECTION` | what the blueprint's author wrote there |
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it.token import Token

from groundup.errors import GroundupError
from groundup.report.guide import figures, quotes
from groundup.report.guide.book import REPOSITORY, SHIPPED, Book, Chapter
from groundup.report.guide.exercises import Exercise
from groundup.report.guide.markdown import inline_block, parse, walk
from groundup.report.guide.session import SessionItem
from groundup.report.run import Run

ASIDES = ("note", "look", "warning")
KNOWN = frozenset(
    "source command python setup figure plot equation where exercises solutions tried if unless notes".split()
).union(ASIDES)


@dataclass
class FilledChapter:
    """A chapter with its blocks, whose directives carry what they gave in `meta`."""

    chapter: Chapter
    tokens: list[Token]
    items: list[tuple[Token, SessionItem]] = field(default_factory=list)
    """What its own Python has to give, in reading order."""


class Preparation:
    """First pass: nested text is parsed, conditions are decided, and the code to run is collected."""

    def __init__(self, book: Book, run: Run, exercises: Mapping[str, list[Exercise]]) -> None:
        self.book, self.run, self.exercises = book, run, exercises

    def chapter(self, chapter: Chapter) -> FilledChapter:
        filled = FilledChapter(chapter, self._blocks(chapter.text, chapter, 0))
        for token in walk(filled.tokens):
            where = f"{chapter.where}:{token.meta.get('line', token.map[0] if token.map else 0) + 1}"
            kind = token.meta.get("directive")
            if kind in ("python", "setup"):
                filled.items.append((token, SessionItem(where=where, kind="block", code=token.content)))
            elif kind == "plot":
                code = token.meta["code"]
                filled.items.append((token, SessionItem(where=where, kind="plot", code=code)))
            for child in token.children or ():
                if child.type == "value":
                    code = _value_code(child.content, where)
                    if code.startswith("tried:"):
                        child.meta["text"] = _tried_text(code.removeprefix("tried:").strip(), where)
                    else:
                        item = SessionItem(where=where, kind="value", code=code)
                        filled.items.append((child, item))
        return filled

    def _blocks(self, text: str, chapter: Chapter, base: int) -> list[Token]:
        found: list[Token] = []
        for token in parse(text):
            line = base + (token.map[0] if token.map else 0)
            token.meta["line"] = line
            if base and token.map:
                token.map = [line, base + token.map[1]]
            if "directive" not in token.meta:
                found.append(token)
                continue
            found += self._directive(token, chapter, line)
        return found

    def _directive(self, token: Token, chapter: Chapter, line: int) -> list[Token]:
        kind, argument, where = token.meta["directive"], token.meta["argument"], f"{chapter.where}:{line + 1}"
        if kind not in KNOWN:
            raise GroundupError(
                f"there is no directive {kind}", where=where, do=f"choose one of {', '.join(sorted(KNOWN))}"
            )
        if kind in ("if", "unless"):
            wanted = argument in self.run.artifacts
            return self._blocks(token.content, chapter, line + 1) if wanted == (kind == "if") else []
        inside: list[Token] = []
        if kind in ASIDES:
            inside = self._blocks(token.content, chapter, line + 1)
        elif kind == "source" and token.content.strip():
            inside = [inline_block(token.content.strip())]
        elif kind == "figure":
            name, *pairs = shlex.split(argument)
            given = dict(pair.split("=", 1) for pair in pairs)
            token.meta |= {"label": given.pop("label", name), "drawing": name, "given": given}
            inside = [inline_block(" ".join(token.content.split()))]
        elif kind == "equation":
            token.meta["label"] = argument
        elif kind == "plot":
            token.meta["label"] = argument
            caption, _, token.meta["code"] = token.content.partition("---\n")
            inside = [inline_block(" ".join(caption.split()))]
        elif kind == "where":
            rows = [row.partition(": ") for row in token.content.strip().splitlines()]
            token.meta["symbols"] = [symbol.strip() for symbol, _, _ in rows]
            inside = [inline_block(meaning.strip()) for _, _, meaning in rows]
        elif kind == "tried":
            inside = self._blocks(experiment(argument, where), chapter, line)
            for one in inside:
                one.meta["quoted"] = True
        elif kind == "exercises":
            chosen = self.exercises.get(chapter.name, [])
            token.meta["exercises"] = [(one, self._blocks(one.question, chapter, line)) for one in chosen]
            inside = [block for _, blocks in token.meta["exercises"] for block in blocks]
        token.meta["inside"] = inside
        return [token]


def fill(token: Token, run: Run, where: str, printed: str, identity: str) -> None:
    """Second pass: what a directive gives that needs no code of the chapter's own.

    Args:
        printed: what the command printed, where it is one.
        identity: unique in the book, for a drawing's ids.
    """
    kind, argument = token.meta["directive"], token.meta["argument"]
    match kind:
        case "source":
            token.meta["quote"] = quotes.quote(argument, where)
        case "command":
            options = dict(row.split(": ", 1) for row in token.content.strip().splitlines() if ": " in row)
            head = int(options.get("head", 0))
            output, lines = printed, printed.splitlines()
            if head and len(lines) > head:
                output = "\n".join([*lines[:head], "..."])
            token.meta["output"] = output
        case "figure":
            token.meta["svg"] = figures.draw(token.meta["drawing"], run, identity, token.meta["given"], where)
        case "plot":
            words = token.meta["inside"][0].content
            token.meta["svg"] = figures.plotted(token.meta["data"], identity, words)
        case "notes":
            section = getattr(run.loaded.blueprint, argument, None) if argument else run.loaded.blueprint
            token.meta["notes"] = getattr(section, "notes", None)


def _value_code(content: str, where: str) -> str:
    """The Python of a value: `run:stage.path`, `= expression` or `tried: words`, each maybe with ` as FORMAT`."""
    if content.startswith("="):
        return content[1:].strip()
    if content.startswith("tried:"):
        return content
    if content.startswith("run:"):
        path, _, how = content.removeprefix("run:").partition(" as ")
        code = f"run.figure({', '.join(repr(name) for name in path.strip().split('.'))})"
        return f"{code} as {how}" if how else code
    raise GroundupError(
        f"{{{{{content}}}}} is no value", where=where, do="write run:PATH, = EXPRESSION or tried: WORDS"
    )


def experiments() -> str:
    """docs/experiments.md."""
    for path in (REPOSITORY / "docs" / "experiments.md", SHIPPED / "experiments.md"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise GroundupError("docs/experiments.md is not there", where="the guide")


def experiment(heading: str, where: str) -> str:
    """The text of a section of docs/experiments.md; raises GroundupError where there is no such heading."""
    found = re.search(rf"^## {re.escape(heading)}[^\n]*\n(.*?)(?=^## |\Z)", experiments(), re.MULTILINE | re.DOTALL)
    if found is None:
        raise GroundupError(f"docs/experiments.md has no section {heading!r}", where=where)
    return found[1].strip()


def _tried_text(words: str, where: str) -> str:
    if words not in " ".join(experiments().split()):
        raise GroundupError(f"{words!r} is not in docs/experiments.md", where=where)
    return words


def outcomes(filled: FilledChapter, results: Sequence[Any]) -> None:
    """Put what a chapter's Python gave where it belongs."""
    for (token, item), result in zip(filled.items, results, strict=True):
        token.meta[{"block": "output", "value": "text", "plot": "data"}[item["kind"]]] = result


def path_of(name: str) -> Path:
    """A file of the repository, as prose names it."""
    return REPOSITORY / name
