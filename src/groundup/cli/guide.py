"""`groundup guide` builds the book over a run; `groundup exercise` checks answers to its exercises."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundup.cli import where

verbs = typer.Typer()
exercise = typer.Typer(help="The guide's exercises: list, show, check.", no_args_is_help=True)
START = "answer.py"


@verbs.command()
def guide(
    run: Annotated[Path | None, typer.Option("--run", metavar="RUN", help="Over which run; else the newest.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write it; else RUN/guide.")] = None,
    pdf: Annotated[bool, typer.Option(help="Also as PDF, with a cheat sheet and slides.")] = True,
    chapter: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these chapters.")] = None,
) -> None:
    """Build the guide, a book, over a run.

    Its corpus, its curves, its answers, with the blueprint's notes.
    """
    from groundup.progress import for_terminal
    from groundup.report.guide.build import assemble
    from groundup.report.guide.site import write_site

    folder = where.run_folder(run).must_exist()
    target = out or folder.path / "guide"
    built = assemble(folder.path, target / ".cache", for_terminal(), only=chapter or ())
    write_site(built, target)
    if pdf:
        from groundup.report.guide.handouts import write_cheat_sheet, write_slides
        from groundup.report.guide.printed import write_pdf

        write_pdf(built, target / "guide.pdf")
        write_cheat_sheet(built, target / "cheatsheet.pdf")
        write_slides(built, target / "slides.pdf")
    print(f"Guide: {target / 'index.html'}")


@exercise.command("list")
def list_() -> None:
    """List every exercise."""
    from groundup.report.guide.book import read_book
    from groundup.report.guide.exercises import read_exercises

    for one in (one for chapter in read_exercises(read_book()).values() for one in chapter):
        print(f"{one.number:<6} {one.title}")


@exercise.command()
def show(number: Annotated[str, typer.Argument(metavar="N", help="Such as 7.2.")]) -> None:
    """Show what an exercise asks."""
    from groundup.report.guide.book import read_book
    from groundup.report.guide.exercises import find

    one = find(read_book(), number)
    print(f"{one.number} {one.title}\n\n{one.question}\n")
    print(f"Write it into a file, then: groundup exercise check {one.number} {START}")


@exercise.command()
def check(
    number: Annotated[str, typer.Argument(metavar="N", help="Such as 7.2.")],
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Your answer.")] = Path(START),
) -> None:
    """Run your answer, and report whether it is right."""
    from groundup.errors import GroundupError
    from groundup.report.guide.book import read_book
    from groundup.report.guide.exercises import check_answer, find

    one = find(read_book(), number)
    if not file.is_file():
        raise GroundupError(
            "there is no such file", where=str(file), do=f"write your answer to exercise {one.number} into it"
        )
    word = check_answer(one, file.read_text(encoding="utf-8"))
    if word is not None:
        print(f"Not yet: {word}")
        raise typer.Exit(1)
    print(f"Right: exercise {one.number}, {one.title}")
