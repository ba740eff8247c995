"""The report on paper: every element of the page has a form, documents can't break out of it, and typst sets it."""

from pathlib import Path

import pytest
from fake_run import FakeRun, hostile

from groundup.errors import GroundupError
from groundup.report.configuration import ReportConfig
from groundup.report.page import page
from groundup.report.pdf import page_markup, write_report_pdf
from groundup.report.run import read_run


def test_the_whole_page_is_set(tmp_path: Path) -> None:
    """Also where a document's text holds markup of typst and of HTML."""
    pytest.importorskip("typst")
    run = FakeRun(tmp_path, documents=(hostile(), hostile(kept=False)))
    html = tmp_path / "index.html"
    html.write_text(page(read_run(run.folder, run.artifacts, 3), ReportConfig(title="A #panic() [title] $x$ @y")))
    made = write_report_pdf(html, tmp_path / "report.pdf").read_bytes()
    assert made.startswith(b"%PDF") and made.count(b"/Type /Page\n") + made.count(b"/Type/Page") >= 1


def test_text_is_shown_as_it_is(tmp_path: Path) -> None:
    made = page_markup('<body><p>#panic() <code>a"b\\c</code> [x] *y* $z$</p><nav>gone</nav></body>', tmp_path)
    assert '#para[\\#panic() #raw("a\\"b\\\\c") \\[x\\] \\*y\\* \\$z\\$]' in made and "gone" not in made


def test_text_after_an_expression_is_no_part_of_it(tmp_path: Path) -> None:
    """A semicolon would end it and not be shown, a point or a bracket continue it."""
    for mark in (";", ".", "("):
        made = page_markup(f"<body><p><code>size</code>{mark}all</p></body>", tmp_path)
        assert f'#para[#raw("size")\\{mark}all]' in made


def test_an_unknown_element_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="an element marquee"):
        page_markup("<body><marquee>so</marquee></body>", tmp_path)
