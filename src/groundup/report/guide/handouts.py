"""From the same sources: a sheet of one page with the equations and decisions, and slides of the pictures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from markdown_it.token import Token

from groundup.report.guide.book import Chapter
from groundup.report.guide.build import BuiltBook
from groundup.report.guide.markdown import walk
from groundup.report.guide.printed import TEMPLATE, compile_pdf
from groundup.report.guide.site import title_of
from groundup.report.guide.typeset import Typesetter, escaped, on_paper, string

# Equations of the sheet by their labels, each with a few words.
EQUATIONS = {
    "chain": "a text, token by token",
    "loss": "the loss, in nats per token",
    "bits": "comparable between tokenizers",
    "softmax": "scores to probabilities",
    "attention": "read by similarity",
    "rmsnorm": "RMSNorm",
    "swiglu": "gated feed-forward",
    "s-curve": "MinHash with bands",
    "adam": "AdamW",
    "cost": "compute of a training",
    "optimum": "size against text",
    "bubble": "waiting in a pipeline",
    "goal": "what alignment maximises",
    "best-policy": "its exact maximum",
    "clip-loss": "PPO",
    "dpo": "DPO",
    "grpo": "GRPO",
    "cache": "bytes of the cache",
}
COMMANDS = {
    "groundup new DIR --from files": "a blueprint to edit",
    "groundup plan BLUEPRINT": "what it will take",
    "groundup run BLUEPRINT": "do it; resumes where it was",
    "groundup status RUN": "what is done, what is stale",
    "groundup diagnose RUN": "what went wrong",
    "groundup chat RUN": "talk to it",
    "groundup serve RUN": "an API and a page",
    "groundup export RUN --to DIR": "a folder for transformers",
    "groundup guide --run RUN": "this book over your run",
}
SHEET_TABLES = ("Which method?", "When it doesn't work")

HERE = Path(__file__).parent


def write_cheat_sheet(built: BuiltBook, out: Path) -> None:
    """Equations, commands and decisions on one page of A4."""
    equations = {
        token.meta["label"]: (one.chapter, token)
        for one in built.chapters
        for token in walk(one.tokens)
        if token.meta.get("directive") == "equation"
    }
    written = [
        '#import "book.typ": ink, soft, green, mono, line-grey, term, entry\n',
        (HERE / "sheet.typ").read_text(encoding="utf-8"),
    ]
    written.append(f'#text(size: 13pt, weight: "semibold")[{escaped(built.book.title)}] #h(1fr) one page\n\n')
    written.append("#columns(2, gutter: .8cm)[\n#head[Equations]\n")
    for label, words in EQUATIONS.items():
        if label in equations:
            chapter, token = equations[label]
            written.append(f"#line-of($ {token.content.strip()} $, [{escaped(words)} ({chapter.number})])\n")
    written.append("#head[Commands]\n")
    written += [f"#line-of(raw({string(line)}), [{escaped(words)}])\n" for line, words in COMMANDS.items()]
    for title, rows, typesetter in _tables(built):
        written.append(f"#head[{escaped(title)}]\n")
        for first, second in rows:
            cells = [typesetter.inline(cell.children or []) for cell in (first, second)]
            written.append(f"#block(below: .4em)[#emph[{cells[0]}] #h(.3em) {cells[1]}]\n")
    written.append("]\n")
    _compile("".join(written), {}, out)


def write_slides(built: BuiltBook, out: Path) -> None:
    """A slide for each chapter and each of its pictures."""
    written = [
        '#import "book.typ": ink, soft, green, mono, line-grey, term, entry\n',
        (HERE / "slides.typ").read_text(encoding="utf-8"),
    ]
    written.append(f"#chapter-slide([{escaped(built.book.subtitle)}], [{escaped(built.book.title)}])\n")
    drawings = {}
    for one in built.chapters:
        figures = [token for token in walk(one.tokens) if "svg" in token.meta]
        if not figures:
            continue
        title = escaped(title_of(built, one.chapter))
        number = f"Chapter {one.chapter.number}" if one.chapter.number.isdigit() else ""
        written.append(f"#chapter-slide([{number}], [{title}])\n")
        typesetter = Typesetter(built.labels, Path(), one.chapter.where)
        for token in figures:
            path = f"{token.meta['anchor']}.svg"
            drawings[path] = on_paper(token.meta["svg"])
            caption = typesetter.inline(token.meta["inside"][0].children or [])
            written.append(f"#picture([{title}, figure {token.meta['number']}], {string(path)}, [{caption}])\n")
    _compile("".join(written), drawings, out)


def _tables(built: BuiltBook) -> Iterator[tuple[str, list[tuple[Token, Token]], Typesetter]]:
    """The tables under the headings of `SHEET_TABLES`: their first two columns."""
    for one in built.chapters:
        for at, token in enumerate(one.tokens):
            if token.type == "heading_open" and one.tokens[at + 1].content in SHEET_TABLES:
                yield one.tokens[at + 1].content, list(_rows(one.tokens[at + 3 :])), _typesetter(built, one.chapter)


def _typesetter(built: BuiltBook, chapter: Chapter) -> Typesetter:
    return Typesetter(built.labels, Path(), chapter.where)


def _rows(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    cells: list[Token] = []
    inside = False
    for at, token in enumerate(tokens):
        if token.type == "tbody_open":
            inside = True
        elif token.type == "td_open" and inside:
            cells.append(tokens[at + 1])
        elif token.type == "tr_close" and inside:
            yield cells[0], cells[1]
            cells = []
        elif token.type in ("table_close", "heading_open"):
            return


def _compile(markup: str, drawings: dict[str, str], out: Path) -> None:
    """Links inside the book lead nowhere on a sheet of its own: they become their words."""
    markup = markup.replace("#link(<", "#linked(<").replace("\n", "\n#let linked(target, body) = body\n", 1)
    with tempfile.TemporaryDirectory(prefix="guide-") as name:
        folder = Path(name)
        (folder / "drawings").mkdir()
        shutil.copy(TEMPLATE, folder / "book.typ")
        for path, drawing in drawings.items():
            (folder / "drawings" / path).write_text(drawing, encoding="utf-8")
        (folder / "handout.typ").write_text(markup, encoding="utf-8")
        out.write_bytes(compile_pdf(folder, "handout.typ"))
