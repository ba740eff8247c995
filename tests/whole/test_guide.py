"""The whole guide over a finished run: every block and command of every chapter runs, and both outputs are whole."""

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from groundup.report.guide.book import read_book

if TYPE_CHECKING:
    from conftest import Finished

PAGES = 150  # of the book, at least
MARGIN = 40.0  # points between any letter and the edge of its page


@pytest.mark.slow
def test_the_guide_is_built_over_a_finished_run(finished: "Finished", tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    pytest.importorskip("typst")
    done = subprocess.run(
        [sys.executable, "-m", "groundup", "guide", "--run", str(finished.run), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for chapter in read_book().chapters:
        page = (tmp_path / f"{chapter.name}.html").read_text(encoding="utf-8")
        for target in re.findall(r'href="([\w-]+\.html)(?:#([\w-]+))?"', page):
            other = (tmp_path / target[0]).read_text(encoding="utf-8")
            assert not target[1] or f'id="{target[1]}"' in other, f"{chapter.name} leads to {target}"
    reader = pypdf.PdfReader(tmp_path / "guide.pdf")
    assert len(reader.pages) >= PAGES and reader.outline
    assert len(pypdf.PdfReader(tmp_path / "cheatsheet.pdf").pages) == 1
    width = float(reader.pages[0].mediabox.width)
    for number, page in enumerate(reader.pages, 1):
        assert max(_starts(page)) <= width - MARGIN, f"something begins beyond the margin of page {number}"


def _starts(page: Any) -> list[float]:
    """Where pieces of text begin, in points from the left edge."""
    found = [0.0]
    page.extract_text(visitor_text=lambda text, cm, tm, *_: found.append(tm[4] * cm[0] + cm[4]) if text else None)
    return found
