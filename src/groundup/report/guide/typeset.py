"""A chapter's blocks as typst markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it.token import Token

from groundup.report.guide.labels import Label, target
from groundup.report.guide.pages import ASIDE_NAMES

_SPECIAL = re.compile(r"([\\#$*_`<>@\[\]~=+\-/])")
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")
# What the variables of a page's colours are on paper.
PAPER = {
    "ink": "#1d211a", "soft": "#5b6155", "line": "#d3d6cb", "ground": "#ffffff", "raised": "#ffffff", "tint": "#f0f1ea",
    "a": "#2f6b50", "b": "#b8630c", "c": "#6577a0", "green": "#2f6148", "alarm": "#9a3b2b",
}  # fmt: skip


def escaped(words: str) -> str:
    """Text as markup that shows it."""
    return _SPECIAL.sub(r"\\\1", words)


def string(words: str) -> str:
    """A string of typst's code."""
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def on_paper(svg: str) -> str:
    """An inline drawing as a file: colours instead of variables, a font, a size."""
    for name, colour in PAPER.items():
        svg = svg.replace(f"var(--{name})", colour)
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-family="DejaVu Sans" ', 1)


class Typesetter:
    """Writes blocks of one chapter; drawings go into files of `folder`."""

    def __init__(self, labels: dict[str, Label], folder: Path, where: str) -> None:
        self.labels, self.folder, self.where = labels, folder, where
        self._columns = 0

    def blocks(self, tokens: Sequence[Token]) -> str:
        """Block tokens, in order."""
        written: list[str] = []
        at = 0
        while at < len(tokens):
            token = tokens[at]
            if "directive" in token.meta:
                written.append(getattr(self, f"_{token.meta['directive']}")(token))
            elif token.type == "inline":
                written.append(self.inline(token.children or []))
            elif token.type == "heading_open":
                written.append(self._heading(token, tokens[at + 1]))
                at += 2
            elif token.type in ("fence", "code_block"):
                written.append(
                    f"#code({string(token.content.rstrip())}, lang: {string(token.info.strip() or 'text')})\n\n"
                )
            elif token.type == "table_open":
                count = 0
                for cell in tokens[at + 1 :]:
                    if cell.type == "tr_close":
                        break
                    count += cell.type == "th_open"
                widths = self._widths(tokens[at:], count)
                written.append(f"#tabled(({widths}), ")
            else:
                written.append(self._structure(token))
            at += 1
        return "".join(written)

    @staticmethod
    def _widths(tokens: Sequence[Token], count: int) -> str:
        """Columns of short cells take what they need; those of long ones divide the rest by their text."""
        longest, column = [0] * count, 0
        for token in tokens:
            if token.type == "table_close":
                break
            if token.type == "tr_open":
                column = 0
            elif token.type == "inline" and column < count:
                longest[column] = max(longest[column], len(token.content))
                column += 1
        return "".join("auto, " if length <= 22 else f"{length}fr, " for length in longest)

    @staticmethod
    def _structure(token: Token) -> str:
        match token.type:
            case "paragraph_close":
                return "\n" if token.hidden else "\n\n"
            case "bullet_list_open":
                return "#list("
            case "ordered_list_open":
                return f"#enum(start: {token.attrGet('start') or 1}, "
            case "bullet_list_close" | "ordered_list_close":
                return ")\n\n"
            case "list_item_open":
                return "["
            case "list_item_close":
                return "], "
            case "th_open" | "td_open":
                return "["
            case "th_close" | "td_close":
                return "], "
            case "table_close":
                return ")\n\n"
            case "blockquote_open":
                return "#quote(block: true)["
            case "blockquote_close":
                return "]\n\n"
            case "hr":
                return "#line(length: 100%, stroke: .5pt + gray)\n\n"
            case _:
                return ""

    def _heading(self, token: Token, title: Token) -> str:
        shown = self.inline(title.children or [])
        if token.meta.get("quoted"):
            return f"*{shown}*\n\n"
        number = f"{token.meta['number']}#h(.6em)" if token.meta.get("number") else ""
        anchor = self._anchor(token.meta.get("anchor", ""))
        return f"\n{'=' * int(token.tag[1])} {number}{shown} {anchor}\n\n"

    def _anchor(self, anchor: str) -> str:
        name = Path(self.where).stem
        return f"<{name}--{anchor}>" if anchor else ""

    def inline(self, children: Sequence[Token]) -> str:
        """Running text."""
        written: list[str] = []
        for at, token in enumerate(children):
            match token.type:
                case "text":
                    linked = _ARXIV.sub(r'#link("https://arxiv.org/abs/\1")[arXiv \1]', token.content)
                    pieces = re.split(r"(#link\(\"[^\"]*\"\)\[[^\]]*\])", linked)
                    written += [piece if number % 2 else escaped(piece) for number, piece in enumerate(pieces)]
                case "softbreak":
                    written.append("\n")
                case "hardbreak":
                    written.append(" \\\n")
                case "code_inline":
                    written.append(f"#raw({string(token.content)})")
                case "math":
                    written.append(f"${token.content}$")
                case "value":
                    written.append(escaped(token.meta["text"]))
                case "term":
                    name, _, shown = token.content.lstrip(">").partition("|")
                    if token.content.startswith(">"):
                        written.append(f"#link(<glossary>)[{escaped(shown or name)}]")
                    else:
                        written.append(f"#term({string(name.strip())})[{escaped(shown or name)}]")
                case "em_open":
                    written.append("#emph[")
                case "strong_open":
                    written.append("#strong[")
                case "em_close" | "strong_close" | "link_close":
                    written.append("]")
                case "link_open":
                    written.append(self._link(token, children[at + 1]))
        return "".join(written)

    def _link(self, token: Token, following: Token) -> str:
        label = target(token, self.labels, self.where)
        if label is None:
            return f"#link({string(str(token.attrGet('href')))})["
        shown = escaped(label.shown) if following.type == "link_close" else ""
        anchor = f"{label.chapter.name}--{label.anchor}" if label.anchor else f"chapter--{label.chapter.name}"
        return f"#link(<{anchor}>)[{shown}"

    def _caption(self, token: Token) -> str:
        inside = token.meta["inside"]
        return self.inline(inside[0].children or []) if inside else ""

    def _source(self, token: Token) -> str:
        quote = token.meta["quote"]
        caption = f", caption: [{self._caption(token)}]" if token.meta["inside"] else ""
        name, at = string(quote.symbol), string(f"{quote.path}:{quote.line}")
        return f'#code({string(quote.text)}, lang: "python", name: {name}, at: {at}{caption})\n\n'

    def _command(self, token: Token) -> str:
        line = token.meta["argument"].replace("{run}", token.meta.get("shown_run", "RUN"))
        return f"#command({string(line)}, {string(token.meta['output'])})\n\n"

    def _python(self, token: Token) -> str:
        output = token.meta.get("output", "").rstrip("\n")
        return f'#code({string(token.content.rstrip())}, lang: "python", output: {string(output)})\n\n'

    def _setup(self, token: Token) -> str:
        return ""

    def _figure(self, token: Token) -> str:
        path = self.folder / f"{token.meta['anchor']}.svg"
        path.write_text(on_paper(token.meta["svg"]), encoding="utf-8")
        wide = "100%" if 'width="640"' in token.meta["svg"] or 'width="' in token.meta["svg"][:200] else "68%"
        return (
            f"#drawing({string(path.name)}, {string(token.meta['number'])}, [{self._caption(token)}], width: {wide}) "
            f"{self._anchor(token.meta['anchor'])}\n\n"
        )

    _plot = _figure

    def _equation(self, token: Token) -> str:
        anchor = self._anchor(token.meta["anchor"])
        return f"#equation({string(token.meta['number'])}, $ {token.content.strip()} $) {anchor}\n\n"

    def _where(self, token: Token) -> str:
        rows = "".join(
            f"[${symbol}$], [{self.inline(meaning.children or [])}], "
            for symbol, meaning in zip(token.meta["symbols"], token.meta["inside"], strict=True)
        )
        return f"#symbols({rows})\n\n"

    def _exercises(self, token: Token) -> str:
        written = []
        for exercise, question in token.meta["exercises"]:
            anchor = self._anchor(f"exercise-{exercise.number.replace('.', '-')}")
            written.append(
                f"#exercise({string(exercise.number)}, [{escaped(exercise.title)}], "
                f"[{self.blocks(question)}]) {anchor}\n\n"
            )
        return "".join(written)

    def _solutions(self, token: Token) -> str:
        written = []
        for one in token.meta["all"]:
            code = f"{string(one.solution.rstrip())}, {string(one.wrong.rstrip())}"
            title = f"{string(one.number)}, [{escaped(one.title)}]"
            written.append(f"#solution({title}, {code}, [{escaped(one.hint)}])\n\n")
        return "".join(written)

    def _tried(self, token: Token) -> str:
        title = f"[{escaped(token.meta['argument'])} #h(1fr) docs/experiments.md]"
        return f"#aside({title}, [{self.blocks(token.meta['inside'])}], small: true)\n\n"

    def _aside(self, token: Token) -> str:
        kind = token.meta["directive"]
        title = escaped(token.meta["argument"] or ASIDE_NAMES[kind])
        return f"#aside([{title}], [{self.blocks(token.meta['inside'])}], kind: {string(kind)})\n\n"

    _note = _look = _warning = _aside

    def _notes(self, token: Token) -> str:
        if not token.meta["notes"]:
            return ""
        section = token.meta["argument"] or "the blueprint"
        return f'#aside([notes of {escaped(section)}], [_{escaped(token.meta["notes"].strip())}_], kind: "warning")\n\n'
