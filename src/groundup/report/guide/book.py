"""The book's sources: `guide/book.yaml` lists parts and chapters, each chapter is a Markdown file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import groundup
from groundup.errors import GroundupError

PACKAGE = Path(groundup.__file__).parent
SHIPPED = PACKAGE / "_guide"  # where a wheel has it
REPOSITORY = PACKAGE.parent.parent


def sources() -> Path:
    """The folder of the book's sources; raises GroundupError where an installation has none."""
    for folder in (REPOSITORY / "guide", SHIPPED):
        if (folder / "book.yaml").is_file():
            return folder
    raise GroundupError("the guide's sources are not installed", do="install groundup from its wheel or repository")


@dataclass(frozen=True)
class Chapter:
    """One chapter's source."""

    name: str
    """Of its file, without the suffix: `attention`."""
    path: Path
    number: str
    """`7`, a letter for an appendix, empty for the preface."""
    part: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def where(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True)
class Book:
    """The chapters in reading order, and what the cover says."""

    title: str
    subtitle: str
    folder: Path
    chapters: tuple[Chapter, ...]

    @property
    def parts(self) -> list[tuple[str, list[Chapter]]]:
        """Parts with their chapters, in order."""
        found: list[tuple[str, list[Chapter]]] = []
        for chapter in self.chapters:
            if not found or found[-1][0] != chapter.part:
                found.append((chapter.part, []))
            found[-1][1].append(chapter)
        return found


def read_book(folder: Path | None = None, only: Sequence[str] = ()) -> Book:
    """The book of a folder (the project's own without one).

    Args:
        only: names of the chapters to read; all without any.

    Raises:
        GroundupError: a listed chapter does not exist, or a chapter is not listed.
    """
    from ruamel.yaml import YAML

    folder = folder or sources()
    listed = YAML(typ="safe").load((folder / "book.yaml").read_text(encoding="utf-8"))
    chapters, number, letter = [], 0, 0
    for part in listed["parts"]:
        for name in part["chapters"]:
            path = folder / "chapters" / f"{name}.md"
            if not path.is_file() and (not only or name in only):
                raise GroundupError(f"lists a chapter that is not there: {name}", where=str(folder / "book.yaml"))
            match part.get("numbered", "numbers"):
                case "numbers":
                    number += 1
                    shown = str(number)
                case "letters":
                    letter += 1
                    shown = chr(64 + letter)
                case _:
                    shown = ""
            chapters.append(Chapter(name, path, shown, part["title"]))
    unlisted = {path.stem for path in (folder / "chapters").glob("*.md")} - {chapter.name for chapter in chapters}
    if unlisted:
        raise GroundupError(f"does not list {', '.join(sorted(unlisted))}", where=str(folder / "book.yaml"))
    chosen = tuple(chapter for chapter in chapters if not only or chapter.name in only)
    return Book(listed["title"], listed["subtitle"], folder, chosen)
