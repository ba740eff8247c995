"""Main text is found in pages as well as the libraries find it; `labelled_pages` says how the pages were made."""

import pytest
import trafilatura
from labelled_pages import WEB, f1, labelled_pages, score
from lxml import html
from resiliparse.extract.html2text import extract_plain_text

from groundup.corpus.extraction.pool import Extracted, Extractor, Page
from groundup.corpus.extraction.worker import Method

pytestmark = pytest.mark.skipif(not WEB.is_dir(), reason="needs the shared data")
METHODS = {
    Method.TRAFILATURA: lambda page: trafilatura.extract(
        page, output_format="markdown", include_comments=False, include_formatting=True, favor_precision=True
    ),
    Method.RESILIPARSE: lambda page: extract_plain_text(page, main_content=True, alt_texts=False, comments=False),
}
LEAST = {Method.TRAFILATURA: 0.93, Method.RESILIPARSE: 0.87}  # measured: .943 and .884 on 200 pages


@pytest.mark.parametrize("method", METHODS)
def test_our_worker_gives_what_the_bare_library_gives(method: Method) -> None:
    """The same text for every page, and an F1 far above that of taking all the text there is (.50)."""
    pages = list(labelled_pages(bodies=8))
    assert len(pages) == 40
    with Extractor() as extractor:
        found = extractor.extract([Page(method, one.page) for one in pages])
    scores, all_text = [], []
    for one, label in zip(found, pages, strict=True):
        text = one.text if isinstance(one, Extracted) else ""
        assert text == METHODS[method](label.page)
        scores.append(score(text, label.text))
        all_text.append(score(html.fromstring(label.page).text_content(), label.text))
    print(f"{method.name.lower()}: F1 {f1(scores):.3f} on {len(pages)} pages")
    assert f1(scores) > LEAST[method]
    assert f1(all_text) < 0.6
