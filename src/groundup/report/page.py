"""The page: head, contents, sections, foot, in one file that asks for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import groundup
from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, join, p, tag
from groundup.report.run import Run
from groundup.report.sections import head
from groundup.report.sections.again import again
from groundup.report.sections.alignment import alignment
from groundup.report.sections.blueprint import blueprint
from groundup.report.sections.cost import cost
from groundup.report.sections.diagnosis import diagnosis
from groundup.report.sections.documents import documents
from groundup.report.sections.glossary import glossary
from groundup.report.sections.pretraining import pretraining
from groundup.report.sections.quality import quality
from groundup.report.sections.scores import scores
from groundup.report.sections.tokenizer import tokenizer

STYLE = Path(__file__).with_name("style.css")
SECTIONS: tuple[tuple[str, str, Callable[[Run, ReportConfig], Html | None]], ...] = (
    ("diagnosis", "Diagnosis", diagnosis),
    ("blueprint", "Blueprint", blueprint),
    ("documents", "Documents", documents),
    ("quality", "Quality", quality),
    ("tokenizer", "Tokenizer", tokenizer),
    ("pretraining", "Pretraining", pretraining),
    ("alignment", "Alignment", alignment),
    ("scores", "Scores", scores),
    ("cost", "Time, memory, lineage", cost),
    ("again", "Run it again", again),
)
# Nothing may be fetched and no script may run, whatever a document tries.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
SPROUT = "M16 27V13M16 17c-6 0-9-3-9-9 6 0 9 3 9 9zM16 13c0-5 3-8 9-8 0 6-3 8-9 8zM6 27h20"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' fill='none' stroke='%23577a5a' "
    f"stroke-width='2.6' stroke-linecap='round'%3E%3Cpath d='{SPROUT}'/%3E%3C/svg%3E"
)


def page(run: Run, config: ReportConfig) -> Html:
    """The whole report as one HTML document. A section without content is omitted."""
    title = config.title or run.loaded.blueprint.name
    sections = [(name, heading, body) for name, heading, of in SECTIONS if (body := of(run, config)) is not None]
    made_from = p(
        f"Made by groundup {groundup.__version__} from the run's artifacts alone. The same figures for programs: ",
        tag("a", "report.json", href="report.json"),
        ".",
    )
    return document(title, _header(run, title), sections, made_from)


def document(title: str, header: Html, sections: Sequence[tuple[str, str, Html]], footer: Html) -> Html:
    """A page in the report's style, with the entries of the glossary that it links to.

    Args:
        sections: (id, heading, body) each.
    """
    sections = list(sections)
    if (terms := glossary(join([header, *(body for _, _, body in sections)]))) is not None:
        sections.append(("glossary", "Glossary", terms))
    contents = tag("nav", *(tag("a", heading, href=f"#{name}") for name, heading, _ in sections), aria_label="Contents")
    main = tag("main", *(tag("section", tag("h2", heading), body, id=name) for name, heading, body in sections))
    body = tag("body", header, contents, main, tag("footer", footer))
    return join([Html("<!doctype html>\n"), tag("html", document_head(title), body, lang="en"), "\n"])


def document_head(title: str) -> Html:
    """What every page begins with: a policy that fetches nothing, the title, the style."""
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{title} · groundup"),
        Html(f'<link rel="icon" href="{ICON}">'),
        tag("style", Html(STYLE.read_text(encoding="utf-8"))),
    )


def _header(run: Run, title: str) -> Html:
    return tag(
        "header",
        brand(),
        tag("h1", title),
        head.outcome(run),
        head.tiles(run),
        tag("div", head.chat(run), head.lessons(run), class_="start"),
    )


def brand() -> Html:
    """The sign above a page's title."""
    sprout = Html(f'<svg viewBox="0 0 32 32" aria-hidden="true" class="sprout"><path d="{SPROUT}"/></svg>')
    return tag("p", sprout, "groundup", class_="brand")
