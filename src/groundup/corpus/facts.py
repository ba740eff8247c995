"""Facts in a document, of which question-and-answer pairs can be made without any other source."""

import re

from groundup.corpus.clean import squeeze
from groundup.corpus.documents import Fact
from groundup.corpus.sentences import first_sentence

_HEADING = re.compile(r"#{1,6}(?=\s)")
_UNDERLINE = re.compile(r"=+|-{2,}")
_FENCES = ("```", "~~~")
# What opens a block that is no paragraph: lists, quotes, tables, images, HTML, rules, indented code, reST directives.
_OTHER_BLOCK = re.compile(r"([-*+•]\s|\d+[.)]\s|>|\||!\[|<|\.\.\s|([-*_])(\s*\2){2,}\s*$|\t| {4})")
# Brackets within brackets are not followed: where each of many looks for an end, that takes quadratic time.
_TARGET = r"(?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])"
_IMAGE = re.compile(rf"!\[[^\[\]]*\]{_TARGET}")
_LINK = re.compile(rf"\[([^\[\]]+)\]{_TARGET}")
_STRONG = re.compile(r"\*\*(?=\S)([^*]+?)(?<=\S)\*\*")  # and not `__init__`


def section_facts(text: str, title: str) -> tuple[Fact, ...]:
    """The first sentence below each heading of a plain or markdown text, and of the text before any heading.

    Args:
        text: clean text; headings are `# ...` or underlined with `=` or `-`.
        title: the subject of the text before any heading; where it is empty, that text gives no fact.
    """
    facts: dict[str, Fact] = {}
    subject, wanted = plain(title), True
    for block in _blocks(text):
        heading = _heading_of(block)
        if heading is not None:
            subject, wanted = heading, True
            block = block[1:] if _HEADING.match(block[0]) else block[2:]
        if not wanted or not block:
            continue
        wanted = False
        if not subject or _OTHER_BLOCK.match(block[0]) or _fence(block[0]):
            continue
        answer = first_sentence(plain("\n".join(block)))
        if any(character.isalpha() for character in answer) and subject not in facts:
            facts[subject] = Fact(subject, "section", answer)
    return tuple(facts.values())


def first_heading(text: str) -> str:
    """The first heading of a markdown text; empty where it has none."""
    return next((heading for block in _blocks(text) if (heading := _heading_of(block)) is not None), "")


def plain(markdown: str) -> str:
    """One line without images, bold marks and the addresses of links."""
    text = _LINK.sub(r"\1", _IMAGE.sub("", markdown))
    return squeeze(_STRONG.sub(r"\1", text))


def _heading_of(block: list[str]) -> str | None:
    """The heading that opens a block, if one does."""
    if block[0].startswith("#") and (match := _HEADING.match(block[0])):
        return plain(block[0][match.end() :].rstrip().rstrip("#"))
    is_underlined = len(block) > 1 and block[1].lstrip()[:1] in ("=", "-") and _UNDERLINE.fullmatch(block[1].strip())
    if is_underlined and not _OTHER_BLOCK.match(block[0]):
        return plain(block[0])
    return None


def _fence(line: str) -> str:
    """The mark with which a line opens or closes fenced code; empty for any other line."""
    start = line.lstrip()[:3]
    return start if start in _FENCES else ""


def _blocks(text: str) -> list[list[str]]:
    """Runs of lines between blank lines, cut before headings; a fenced block of code stays whole."""
    blocks: list[list[str]] = []
    current: list[str] = []
    fence, has_fences = "", any(mark[0] in text and mark in text for mark in _FENCES)
    for line in text.split("\n"):
        mark = _fence(line) if has_fences else ""
        if fence:
            current.append(line)
            if mark == fence:
                blocks.append(current)
                current, fence = [], ""
            continue
        is_blank = not line or line.isspace()
        if current and (is_blank or mark or (line.startswith("#") and _HEADING.match(line))):
            blocks.append(current)
            current = []
        if not is_blank:
            current.append(line)
        fence = mark
    return [*blocks, current] if current else blocks
