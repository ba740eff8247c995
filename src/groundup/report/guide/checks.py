"""What a reader should never find in the book: each check gives findings, and any finding fails the build.

- **numbers**: a digit in running text comes from a value (`{{...}}`), or is part of mathematics, code, a name (GPT-2,
  bf16), a year, or an arXiv number. So nobody can type a figure that a run should have given.
- **symbols**: every symbol of an equation is in a `{where}` of its chapter, or in the notation's table.
- **terms**: a term of the glossary is marked `[[term]]` where it is explained, and isn't used before that unmarked.
- **links**: every reference leads somewhere; named files, verbs and symbols exist.
- **lines**: no piece of code in running text is too long to be set without sticking out of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it.token import Token

from groundup.errors import GroundupError
from groundup.report.glossary import TERMS
from groundup.report.guide.directives import FilledChapter, path_of
from groundup.report.guide.labels import Label, target
from groundup.report.guide.markdown import inline_tokens, walk
from groundup.report.guide.mathematics import read

NOTATION = "notation"  # the chapter whose symbols hold in the whole book
LONGEST_CODE = 56  # characters without a space
NUMBER = re.compile(r"[\d½¼¾]")
ALLOWED = re.compile(
    r"""(?x)
      \b(?:19|20)\d\d\b                               # years
    | arXiv\ \d{4}\.\d{4,5}                           # papers
    | (?<!\w)[A-Za-z]+[-\u2011]?\d[\w.]*(?:-[\w.]+)*  # names: GPT-2, bf16, ZeRO-3, H100, F1
    | \b\d+[A-Z]\d+[A-Z]\b | \b\d+B\b                # 1F1B, a model of 8B
    | \b(?:Llama|Python|Qwen|Gemma|Phi|Mixtral|Version|FlashAttention|Part)\ \d+(?:\.\d+)*\b
    """
)
# Terms that are plain English as well: explained, but free to be used in their everyday sense before that.
EVERYDAY = frozenset(
    "run rule stage steps document subject width context phrasing baseline accuracy precision recall policy critic "
    "primed layers heads parameters batch loss token vocabulary embedding calibration tokenizer curation licence "
    "attention temperature entropy funnel ledger blueprint prefill".split()
) | {"true score", "rule"}


def findings(filled: Sequence[FilledChapter], labels: dict[str, Label], whole: bool) -> list[str]:
    """Every finding as `file:line: what`.

    Args:
        whole: all chapters are there, in order, so that terms must have been explained before they are used.
    """
    found: list[str] = []
    for one in filled:
        for check in (numbers, lines, paths):
            found += check(one)
        found += symbols(one, filled)
        found += links(one, labels)
    return found + (list(terms(filled)) if whole else [])


def numbers(one: FilledChapter) -> Iterator[str]:
    """Digits typed by hand."""
    for token, line in _own_inline(one):
        if token.type == "text":
            rest = ALLOWED.sub("", token.content)
            if NUMBER.search(rest):
                yield f"{one.chapter.where}:{line + 1}: a number typed by hand in {token.content.strip()!r}"


def symbols(one: FilledChapter, every: Sequence[FilledChapter]) -> Iterator[str]:
    """Symbols without a meaning."""
    known = {name for other in every if other.chapter.name == NOTATION for name in _defined(other)} | _defined(one)
    for text, line, display in _equations(one):
        where = f"{one.chapter.where}:{line + 1}"
        try:
            used = read(text, where, display).symbols
        except GroundupError as error:
            yield str(error)
            continue
        if unknown := [symbol for symbol in used if symbol not in known]:
            yield f"{where}: ${text.strip()}$ uses {', '.join(unknown)} without saying what that is"


def _defined(one: FilledChapter) -> set[str]:
    found: set[str] = set()
    for token in walk(one.tokens):
        for symbol in token.meta.get("symbols", ()):
            found |= set(read(symbol, one.chapter.where).symbols)
    return found


def _equations(one: FilledChapter) -> Iterator[tuple[str, int, bool]]:
    for token in walk(one.tokens):
        if token.meta.get("directive") == "equation":
            yield token.content, token.meta["line"], True
    for child, line in inline_tokens(one.tokens):
        if child.type == "math":
            yield child.content, line, False


def terms(filled: Sequence[FilledChapter]) -> Iterator[str]:
    """Terms that are used before they are explained, or without ever being so; not in headings and titles."""
    explained: dict[str, str] = {}
    first: dict[str, str] = {}
    patterns = {name: _pattern(name) for name in TERMS}
    for one in filled:
        titles = 0
        for token, line in _own_inline(one, headings=False):
            where = f"{one.chapter.where}:{line + 1}"
            titles += token.nesting if token.type in ("em_open", "em_close") else 0
            if token.type == "term":
                name = token.content.lstrip(">").partition("|")[0].strip()
                if name not in TERMS:
                    yield f"{where}: {name} is no term of the glossary"
                elif not token.content.startswith(">"):
                    explained.setdefault(name, where)
            elif token.type == "text" and not titles:
                for name, pattern in patterns.items():
                    if (
                        name not in explained
                        and name not in first
                        and name not in EVERYDAY
                        and pattern.search(token.content)
                    ):
                        first[name] = where
    for name, where in first.items():
        yield f"{where}: uses {name!r} before it is explained; mark [[{name}]] where it is, or link [[>{name}]]"


def _pattern(name: str) -> re.Pattern[str]:
    flags = re.IGNORECASE if name == name.lower() else 0
    return re.compile(rf"(?<![\w-]){re.escape(name)}s?(?![\w-])", flags)


def links(one: FilledChapter, labels: dict[str, Label]) -> Iterator[str]:
    """References that lead nowhere."""
    for token, line in inline_tokens(one.tokens):
        if token.type == "link_open":
            try:
                target(token, labels, f"{one.chapter.where}:{line + 1}")
            except GroundupError as error:
                yield str(error)


def lines(one: FilledChapter) -> Iterator[str]:
    """Code in running text that can't be broken and would stick out of the page."""
    for token, line in inline_tokens(one.tokens):
        if token.type == "code_inline" and any(
            len(word) > LONGEST_CODE for word in re.split(r"[\s/.,_]", token.content)
        ):
            yield f"{one.chapter.where}:{line + 1}: {token.content!r} is too long for a line"


def paths(one: FilledChapter) -> Iterator[str]:
    """Files that prose names: paths with a folder that the repository has."""
    for token, line in _own_inline(one):
        if (
            token.type == "code_inline"
            and re.fullmatch(r"(?:src|docs|tests|benchmarks|examples|guide|tools)/[\w./-]+", token.content)
            and not path_of(token.content).exists()
        ):
            yield f"{one.chapter.where}:{line + 1}: names {token.content}, which is not there"


def _own_inline(one: FilledChapter, headings: bool = True) -> Iterator[tuple[Token, int]]:
    """Running text, without what is quoted from elsewhere and without the questions of exercises, which set numbers."""
    after_heading = [False, *(token.type == "heading_open" for token in one.tokens)]
    return inline_tokens(
        [
            token
            for token, heading in zip(one.tokens, after_heading, strict=False)
            if token.meta.get("directive") not in ("tried", "exercises") and (headings or not heading)
        ]
    )
