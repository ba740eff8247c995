"""Build the guide over a run: the site, the PDF, the cheat sheet and the slides, or nothing at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groundup.artifacts import durable
from groundup.errors import GroundupError
from groundup.progress import Progress
from groundup.report.guide import checks
from groundup.report.guide.book import Book, read_book
from groundup.report.guide.commands import Remembering, code_digest, run_command
from groundup.report.guide.directives import FilledChapter, Preparation, fill, outcomes
from groundup.report.guide.exercises import read_exercises
from groundup.report.guide.figures import open_run
from groundup.report.guide.labels import Label, number
from groundup.report.guide.markdown import walk
from groundup.report.guide.session import evaluate
from groundup.report.run import Run

MAX_FINDINGS = 40  # lines of an error


@dataclass(frozen=True)
class BuiltBook:
    """Everything that an output needs."""

    book: Book
    run: Run
    chapters: list[FilledChapter]
    labels: dict[str, Label]


def assemble(
    run_folder: Path, cache: Path, progress: Progress, *, folder: Path | None = None, only: Sequence[str] = ()
) -> BuiltBook:
    """The book with everything filled in and checked.

    Args:
        run_folder: of a finished run.
        cache: where results of commands and code are remembered, by the state of code and run.
        folder: of the sources; the project's own without it.
        only: names of chapters; all without any.

    Raises:
        GroundupError: what was found, line by line.
    """
    book, run = read_book(folder, only), open_run(run_folder)
    preparation = Preparation(book, run, read_exercises(book))
    filled = [preparation.chapter(chapter) for chapter in book.chapters]
    state = hashlib.sha256(f"{code_digest()}{(run_folder / 'run.json').read_text()}".encode()).hexdigest()
    remembering = Remembering(cache, state)
    _run_code(filled, run_folder, remembering, progress)
    directives = [(one, token) for one in filled for token in walk(one.tokens) if "directive" in token.meta]
    printed: dict[tuple[str, str], str] = {}
    with progress.task("guide", len(directives), "parts") as task:
        for at, (one, token) in enumerate(directives):
            where = f"{one.chapter.where}:{token.meta['line'] + 1}"
            if token.meta["directive"] == "command" and (one.chapter.name, token.meta["argument"]) not in printed:
                printed |= _run_commands(one, run, run_folder, remembering)
            fill(token, run, where, printed.get((one.chapter.name, token.meta["argument"]), ""), f"g{at}")
            task.advance(1)
    labels = number(filled)
    found = checks.findings(filled, labels, whole=not only)
    if found:
        more = f"\n... and {len(found) - MAX_FINDINGS} more" if len(found) > MAX_FINDINGS else ""
        raise GroundupError("\n".join(found[:MAX_FINDINGS]) + more, where=str(book.folder))
    return BuiltBook(book, run, filled, labels)


def _run_code(filled: Sequence[FilledChapter], run_folder: Path, remembering: Remembering, progress: Progress) -> None:
    """The chapters' own Python; of those whose code has not changed, the results are remembered."""
    code = {one.chapter.name: [[item["kind"], item["code"]] for _, item in one.items] for one in filled if one.items}
    results = {name: remembering.known(["code", of]) for name, of in code.items()}
    new = {
        one.chapter.name: [item for _, item in one.items] for one in filled if results.get(one.chapter.name, ()) is None
    }
    if new:
        with progress.task("code of the chapters", len(new), "chapters") as task:
            for name, given in evaluate(new, run_folder):
                remembering.remember(["code", code[name]], given)
                results[name] = given
                task.advance(1)
    for one in filled:
        if one.items:
            outcomes(one, results[one.chapter.name])


def _run_commands(
    one: FilledChapter, run: Run, run_folder: Path, remembering: Remembering
) -> dict[tuple[str, str], str]:
    """What a chapter's commands print, by chapter and line; they run in order in a folder of their own.

    One may need what another has made, so either all results are remembered or all commands run again.
    """
    lines = [token for token in walk(one.tokens) if token.meta.get("directive") == "command"]
    key = ["commands", [token.meta["argument"] for token in lines]]
    found = remembering.known(key)
    if found is None:
        folder = remembering.folder / "work" / one.chapter.name
        durable.remove(folder)
        found = [
            run_command(
                token.meta["argument"], run_folder, run.name, folder, f"{one.chapter.where}:{token.meta['line'] + 1}"
            )
            for token in lines
        ]
        remembering.remember(key, found)
    return {(one.chapter.name, token.meta["argument"]): output for token, output in zip(lines, found, strict=True)}
