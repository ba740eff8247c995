"""Main text is found in pages as well as the libraries find it: in made ones, and in real ones if at hand."""

import pytest
import trafilatura
from labelled_pages import WEB, f1, labelled_pages, score
from lxml import html
from resiliparse.extract.html2text import extract_plain_text

from groundup.corpus.extraction.escapes import unescaped
from groundup.corpus.extraction.pool import Extracted, Extractor, Page
from groundup.corpus.extraction.worker import Method
from made.pages import pages

METHODS = {
    Method.PRECISION: lambda page: unescaped(
        trafilatura.extract(
            page, output_format="markdown", include_comments=False, include_formatting=True, favor_precision=True
        )
    ),
    Method.RESILIPARSE: lambda page: extract_plain_text(page, main_content=True, alt_texts=False, comments=False),
}
PAGES = {"made": lambda: pages(8), **({"real": lambda: labelled_pages(bodies=8)} if WEB.is_dir() else {})}
# F1 on made pages and, measured on 200 of them (.943 and .884), on real ones
MIN_F1 = {
    ("made", Method.PRECISION): 0.97,
    ("made", Method.RESILIPARSE): 0.88,
    ("real", Method.PRECISION): 0.93,
    ("real", Method.RESILIPARSE): 0.87,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", PAGES)
def test_our_worker_gives_what_the_bare_library_gives(method: Method, kind: str) -> None:
    """The same text for every page, and an F1 far above that of taking all the text there is."""
    labelled = list(PAGES[kind]())
    assert len(labelled) == 40
    with Extractor() as extractor:
        found = extractor.extract([Page(method, one.page) for one in labelled])
    scores, all_text = [], []
    for one, label in zip(found, labelled, strict=True):
        text = one.text if isinstance(one, Extracted) else ""
        assert text == METHODS[method](label.page)
        scores.append(score(text, label.text))
        all_text.append(score(html.fromstring(label.page).text_content(), label.text))
    print(f"{method.name.lower()}: F1 {f1(scores):.3f} on {len(labelled)} {kind} pages")
    assert f1(scores) > MIN_F1[kind, method]
    assert f1(all_text) < 0.7
