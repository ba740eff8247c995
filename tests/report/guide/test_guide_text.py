"""The book as it is: what needs no run is checked here; tests/whole builds it."""

import ast
from pathlib import Path

import pytest

from groundup.blueprint import gallery
from groundup.blueprint.load import load
from groundup.errors import GroundupError
from groundup.report.guide import checks
from groundup.report.guide.book import PACKAGE, read_book
from groundup.report.guide.directives import FilledChapter, Preparation
from groundup.report.guide.exercises import read_exercises
from groundup.report.guide.labels import number
from groundup.report.guide.markdown import walk
from groundup.report.guide.quotes import quote
from groundup.report.run import Run

BOOK = read_book()


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> list[FilledChapter]:
    """All chapters, prepared for a run that has no artifacts yet."""
    path, _ = gallery.write(gallery.DEFAULT, tmp_path_factory.mktemp("blueprint"))
    preparation = Preparation(BOOK, Run("runs/none", {}, load(path)), read_exercises(BOOK))
    return [preparation.chapter(chapter) for chapter in BOOK.chapters]


def test_nothing_is_found_that_a_reader_should_not_see(chapters: list[FilledChapter]) -> None:
    """Numbers typed by hand, symbols without meaning, terms before they are explained, dead references, long lines."""
    assert checks.findings(chapters, number(chapters), whole=True) == []


def test_every_quoted_symbol_is_in_the_source_word_for_word(chapters: list[FilledChapter]) -> None:
    symbols = [token.meta["argument"] for one in chapters for token in walk(one.tokens) if _is(token, "source")]
    assert len(symbols) > 40
    for symbol in symbols:
        found = quote(symbol)
        lines = (PACKAGE / found.path).read_text(encoding="utf-8").splitlines()[found.line - 1 :]
        assert [line.strip() for line in found.text.splitlines()] == [
            line.strip() for line in lines[: len(found.text.splitlines())]
        ]


def test_a_symbol_that_is_gone_is_an_error() -> None:
    with pytest.raises(GroundupError, match="which is not in the package"):
        quote("groundup.model.attention.no_such_function", "chapter")


def test_the_code_of_the_chapters_is_python(chapters: list[FilledChapter]) -> None:
    for one in chapters:
        for token, item in one.items:
            if item["kind"] != "value":
                ast.parse(item["code"], one.chapter.name)
            else:
                ast.parse(item["code"].partition(" as ")[0].strip(), mode="eval")
            assert token is not None


def test_every_chapter_has_its_parts(chapters: list[FilledChapter]) -> None:
    """Code, something to run, a picture, exercises, and what to read next."""
    for one in chapters:
        if not one.chapter.number.isdigit():
            continue
        kinds = {token.meta.get("directive") for token in walk(one.tokens)}
        headings = [one.tokens[i + 1].content for i, token in enumerate(one.tokens) if token.type == "heading_open"]
        assert {"source", "exercises"} <= kinds, one.chapter.name
        assert kinds & {"python", "command"} and kinds & {"figure", "plot"}, one.chapter.name
        assert "Further reading" in headings, one.chapter.name


def test_a_book_lists_all_of_its_chapters() -> None:
    listed = {chapter.name for chapter in BOOK.chapters}
    assert {path.stem for path in (Path(BOOK.folder) / "chapters").glob("*.md")} == listed
    assert {path.stem for path in (Path(BOOK.folder) / "exercises").glob("*.md")} <= listed


def _is(token: object, kind: str) -> bool:
    return getattr(token, "meta", {}).get("directive") == kind
