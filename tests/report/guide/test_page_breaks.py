"""Where the PDF breaks its pages: never within a short listing, near the ends of a long one, or after a heading."""

import io
import re
import shutil

import pytest

from groundup.report.guide.printed import TEMPLATE, compile_pdf
from groundup.report.guide.typeset import string

SHORT, LONG = 10, 70  # lines
TIMES = 12  # down the page at which each is tried


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The text of each page of listings, headings and tables after more and more text."""
    pytest.importorskip("typst")
    pypdf = pytest.importorskip("pypdf")
    written = [
        '#import "book.typ": *\n#show: book.with(title: "T", subtitle: "S", over: "O")\n#chapter([1], [C], "c")\n'
    ]
    for turn in range(TIMES):
        short, long, output, printed = (
            string("\n".join(f"{kind}{turn} {line}." for line in range(count)))
            for kind, count in (("short", SHORT), ("long", LONG), ("output", SHORT), ("printed", SHORT))
        )
        written.append(f"#lorem({120 + 37 * turn})\n\n#code({short}, caption: [A caption.])\n\n")
        written.append(f"#lorem({60 + 23 * turn})\n\n== heading{turn}.\n\n#code({long}, output: {output})\n\n")
        written.append(f'#command("groundup", {printed})\n\n')
        cells = ", ".join(f"[cell{turn} {row}. #lorem(30) end{turn} {row}.]" for row in range(6))
        written.append(f"#tabled((1fr,), [head], {cells})\n\n")
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(TEMPLATE, folder / "book.typ")
    (folder / "t.typ").write_text("".join(written), encoding="utf-8")
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(compile_pdf(folder, "t.typ"))).pages]


def lines(pages: list[str], kind: str) -> list[list[int]]:
    """How many lines of a listing each page holds, for the listings of a kind."""
    return [
        [count for page in pages if (count := len(re.findall(rf"\b{kind}{turn} \d+\.", page)))] for turn in range(TIMES)
    ]


@pytest.mark.parametrize("kind", ["short", "printed"])
def test_a_short_listing_stays_together(pages: list[str], kind: str) -> None:
    assert lines(pages, kind) == [[SHORT]] * TIMES


@pytest.mark.parametrize(("kind", "count"), [("long", LONG), ("output", SHORT)])
def test_a_long_listing_breaks_away_from_its_ends(pages: list[str], kind: str, count: int) -> None:
    found = lines(pages, kind)
    assert all(sum(each) == count for each in found) and (kind == "output" or any(len(each) > 1 for each in found))
    assert all(part >= 3 for each in found for part in each)


def test_a_heading_is_on_the_page_of_what_follows(pages: list[str]) -> None:
    for turn in range(TIMES):
        [page] = [page for page in pages if re.search(rf"heading{turn}\.\s+long{turn} 0\.", page)]
        assert f"long{turn} 2." in page


def test_a_tables_row_is_on_one_page(pages: list[str]) -> None:
    for turn in range(TIMES):
        for row in range(6):
            [page] = [page for page in pages if f"cell{turn} {row}." in page]
            assert f"end{turn} {row}." in page
