"""The glossary has one source: the document in docs/ is written from the terms that the report uses."""

from pathlib import Path

import pytest

from groundup.report.glossary import TERMS, markdown, slug
from groundup.report.markup import term

DOCUMENT = Path(__file__).parents[2] / "docs" / "glossary.md"


def test_the_document_is_written_from_the_terms() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(), (
        "run: python -m groundup.report.glossary > docs/glossary.md"
    )


def test_every_term_has_one_line_and_an_id_of_its_own() -> None:
    assert len({slug(name) for name in TERMS}) == len(TERMS)
    for name, meaning in TERMS.items():
        assert meaning.endswith(".") and "\n" not in meaning and len(meaning) < 120, name


def test_a_term_that_is_not_in_the_glossary_is_an_error() -> None:
    """So that no link of the report can point nowhere."""
    with pytest.raises(KeyError):
        term("no such term")
