"""A chapter's blocks as HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from markdown_it.token import Token

from groundup.report.glossary import TERMS, slug
from groundup.report.guide.labels import Label, target
from groundup.report.guide.mathematics import read
from groundup.report.markup import Html, join, tag, text

CLASSES = {"number": "number"}
ASIDE_NAMES = {"note": "Note", "look": "What to look at", "warning": "Take care"}
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")


class PageWriter:
    """Writes blocks of one chapter.

    Args:
        labels: what references lead to.
        page: the file name of a chapter's page.
    """

    def __init__(self, labels: dict[str, Label], page: Callable[[Label], str], where: str) -> None:
        self.labels, self.page, self.where = labels, page, where

    def blocks(self, tokens: Sequence[Token]) -> Html:
        """Block tokens, in order."""
        written: list[Html] = []
        for token in tokens:
            if "directive" in token.meta:
                written.append(getattr(self, f"_{token.meta['directive']}")(token))
            elif token.type == "inline":
                written.append(self.inline(token.children or []))
            elif token.type == "heading_open":
                shown = f"{token.meta['number']}\u2002" if token.meta.get("number") else ""
                anchor = f' id="{token.meta["anchor"]}"' if token.meta.get("anchor") else ""
                name = "h4" if token.meta.get("quoted") else token.tag
                written.append(Html(f"<{name}{anchor}>{shown}"))
            elif token.type == "heading_close":
                name = "h4" if token.meta.get("quoted") else token.tag
                written.append(Html(f"</{name}>"))
            elif token.type in ("fence", "code_block"):
                written.append(highlighted(token.content, token.info.strip()))
            elif token.type == "table_open":
                written.append(Html('<div class="scroll"><table>'))
            elif token.type == "table_close":
                written.append(Html("</table></div>"))
            elif token.hidden and token.type in ("paragraph_open", "paragraph_close"):
                continue
            elif token.nesting == 1:
                written.append(Html(f"<{token.tag}>"))
            elif token.nesting == -1:
                written.append(Html(f"</{token.tag}>"))
            elif token.type == "hr":
                written.append(Html("<hr>"))
        return join(written)

    def inline(self, children: Sequence[Token]) -> Html:
        """Running text."""
        written: list[Html] = []
        for token in children:
            match token.type:
                case "text":
                    linked = _ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', text(token.content))
                    written.append(Html(linked))
                case "softbreak":
                    written.append(Html("\n"))
                case "hardbreak":
                    written.append(Html("<br>"))
                case "code_inline":
                    written.append(tag("code", token.content))
                case "math":
                    written.append(Html(read(token.content, self.where).markup))
                case "value":
                    written.append(tag("span", token.meta["text"], class_="value"))
                case "term":
                    written.append(self._term(token.content))
                case "link_open":
                    written.append(self._link(token, children))
                case "link_close":
                    written.append(Html("</a>"))
                case _ if token.nesting:
                    written.append(Html(f"<{'/' if token.nesting < 0 else ''}{token.tag}>"))
        return join(written)

    def _term(self, content: str) -> Html:
        name, _, shown = content.lstrip(">").partition("|")
        name = name.strip()
        if content.startswith(">"):
            return tag("a", shown or name, href=f"glossary.html#{slug(name)}", title=TERMS[name], class_="term")
        return tag("dfn", shown or name, id=slug(name), title=TERMS[name])

    def _link(self, token: Token, children: Sequence[Token]) -> Html:
        label = target(token, self.labels, self.where)
        if label is None:
            return Html(f'<a href="{text(token.attrGet("href"))}">')
        following = children[list(children).index(token) + 1]
        shown = label.shown if following.type == "link_close" else ""
        return Html(f'<a href="{self.page(label)}">{text(shown)}')

    def _caption(self, token: Token) -> Html:
        inside = token.meta["inside"]
        return self.inline(inside[0].children or []) if inside else Html("")

    def _source(self, token: Token) -> Html:
        quote = token.meta["quote"]
        symbol = Html(".<wbr>".join(text(part) for part in quote.symbol.split(".")))  # a phone breaks it there
        head = tag("figcaption", tag("code", symbol), tag("small", f"{quote.path}:{quote.line}"))
        below = tag("p", self._caption(token), class_="caption") if token.meta["inside"] else None
        return tag("figure", head, highlighted(quote.text, "python"), below, class_="source")

    def _command(self, token: Token) -> Html:
        line = token.meta["argument"].replace("{run}", token.meta.get("shown_run", "RUN"))
        return tag("div", tag("pre", tag("b", f"$ {line}"), f"\n{token.meta['output']}"), class_="command")

    def _python(self, token: Token) -> Html:
        output = token.meta.get("output", "").rstrip("\n")
        printed = tag("pre", output, class_="output") if output else None
        return tag("div", highlighted(token.content, "python"), printed, class_="run")

    def _setup(self, token: Token) -> Html:
        return Html("")

    def _figure(self, token: Token) -> Html:
        name = tag("b", f"Figure {token.meta['number']}. ")
        return tag("figure", token.meta["svg"], tag("figcaption", name, self._caption(token)), id=token.meta["anchor"])

    _plot = _figure

    def _equation(self, token: Token) -> Html:
        formula = Html(read(token.content, self.where, display=True).markup)
        return tag("div", formula, tag("span", f"({token.meta['number']})"), class_="equation", id=token.meta["anchor"])

    def _where(self, token: Token) -> Html:
        rows = []
        for symbol, meaning in zip(token.meta["symbols"], token.meta["inside"], strict=True):
            formula = Html(read(symbol, self.where).markup)
            rows.append(tag("div", tag("dt", formula), tag("dd", self.inline(meaning.children or []))))
        return tag("dl", *rows, class_="where")

    def _exercises(self, token: Token) -> Html:
        written = []
        for exercise, question in token.meta["exercises"]:
            head = tag("h4", f"Exercise {exercise.number}\u2002{exercise.title}")
            how = tag("p", tag("code", f"groundup exercise check {exercise.number} answer.py"), class_="how")
            solved = tag(
                "details", tag("summary", "A solution"), highlighted(exercise.solution, "python"),
                tag("p", "A typical wrong answer, which the check meets with: ", tag("q", exercise.hint)),
                highlighted(exercise.wrong, "python"),
            )  # fmt: skip
            anchor = f"exercise-{exercise.number.replace('.', '-')}"
            written.append(tag("section", head, self.blocks(question), how, solved, class_="exercise", id=anchor))
        return join(written)

    def _solutions(self, token: Token) -> Html:
        return tag("p", "On these pages each solution is folded away under its exercise.")

    def _tried(self, token: Token) -> Html:
        head = tag("p", tag("b", token.meta["argument"]), tag("small", " docs/experiments.md"))
        return tag("aside", head, self.blocks(token.meta["inside"]), class_="tried")

    def _aside(self, token: Token) -> Html:
        kind = token.meta["directive"]
        title = token.meta["argument"] or ASIDE_NAMES[kind]
        return tag("aside", tag("p", tag("b", title)), self.blocks(token.meta["inside"]), class_=kind)

    _note = _look = _warning = _aside

    def _notes(self, token: Token) -> Html:
        notes = token.meta["notes"]
        if not notes:
            return Html("")
        section = token.meta["argument"] or "the blueprint"
        return tag("aside", tag("p", notes.strip()), tag("cite", f"notes of {section}"), class_="margin")


def highlighted(code: str, language: str) -> Html:
    """Code with its words in colours; plain where the language is not known."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language.split()[0] if language else "text", stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return tag("pre", tag("code", Html(highlight(code.rstrip("\n"), lexer, HtmlFormatter(nowrap=True)))), class_="code")
