"""The chapters' Markdown: CommonMark with tables, and four small additions.

| written | is |
|---|---|
| `$x_t$` | mathematics, in typst's notation |
| `{{run:evaluate.bits_per_byte | .2f}}` | a value that the build fills in |
| `[[perplexity]]` | the spot where a glossary's term is explained; `[[>PPO]]`: a mention ahead of that, linked |
| a fence whose info starts with `{name}` | a directive: `{source} groundup.model.attention.attend` |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

MATH, VALUE, TERM = "math", "value", "term"
_PATTERNS = {
    "$": (MATH, re.compile(r"\$([^$\n]+)\$")),
    "{": (VALUE, re.compile(r"\{\{([^\n]+?)\}\}")),
    "[": (TERM, re.compile(r"\[\[([^\]\n]+)\]\]")),
}
_STOPS = re.compile(r"[\n!#$%&*+\-:<=>@[\\\]^_`{}~]")


def _rule(first: str) -> Callable[[StateInline, bool], bool]:
    kind, pattern = _PATTERNS[first]

    def rule(state: StateInline, silent: bool) -> bool:
        found = pattern.match(state.src, state.pos) if state.src[state.pos] == first else None
        if found is None:
            return False
        if not silent:
            token = state.push(kind, "", 0)
            token.content = found[1].strip()
        state.pos = found.end()
        return True

    return rule


def parser() -> MarkdownIt:
    """The parser of chapters; raw HTML is text."""
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    for first, (kind, _) in _PATTERNS.items():
        made.inline.ruler.before("link" if first == "[" else "escape", kind, _rule(first))
    return made


def parse(text: str) -> list[Token]:
    """The blocks of a chapter, each directive with `meta["directive"]` and `meta["argument"]`.

    `token.map[0]` of a block is its line, counted from 0.
    """
    tokens = parser().parse(text)
    for token in tokens:
        if token.type == "fence" and token.info.startswith("{"):
            name, _, argument = token.info[1:].partition("}")
            token.meta |= {"directive": name.strip(), "argument": argument.strip()}
    return tokens


def parse_inline(text: str) -> list[Token]:
    """The children of one line of text."""
    return parser().parseInline(text)[0].children or []


def walk(tokens: list[Token]) -> Iterator[Token]:
    """Every block token and, after it, what is inside it: directives' own blocks, captions, items."""
    for token in tokens:
        yield token
        yield from walk(token.meta.get("inside", []))


def inline_tokens(tokens: list[Token]) -> Iterator[tuple[Token, int]]:
    """Every token of running text, in reading order, with its line, counted from 0."""
    line = 0
    for token in walk(tokens):
        if token.map and not token.meta.get("nested"):
            line = token.map[0]
        for number, child in enumerate(token.children or ()):
            breaks = sum(one.type in ("softbreak", "hardbreak") for one in (token.children or ())[:number])
            yield child, line + breaks


def inline_block(text: str) -> Token:
    """A line of text as the block that holds its tokens."""
    token = Token("inline", "", 0, content=text, children=parse_inline(text))
    token.meta["nested"] = True
    return token
