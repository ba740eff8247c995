"""HTML to title and main text. Runs in a worker: what a page can do to these libraries is not known beforehand."""

from groundup.corpus.clean import squeeze
from groundup.corpus.extraction.configuration import Mode
from groundup.corpus.extraction.escapes import unescaped

# Precision is not trusted with a page of which it keeps less than this part of what the balanced mode keeps.
FALLBACK_FRACTION = 0.3
# Of the text of a page's paragraphs: below it the balanced mode is tried, which takes as long again.
_SUSPICIOUS_FRACTION = 0.5


def by_trafilatura(page: str, mode: Mode = "precision") -> tuple[str, str, bool]:
    """`(title, text, whether precision was given up)`: markdown with `#` headings (Barbaresi 2021, ACL demo 15).

    Precision drops nearly all clutter and, rarely, a whole article. Where it keeps under `FALLBACK_FRACTION` of the
    balanced mode's text, that is taken.
    """
    import trafilatura

    tree = trafilatura.load_html(page)
    if tree is None:
        return "", "", False
    title = squeeze(tree.findtext(".//title") or "")
    paragraphs = sum(len(part) for paragraph in tree.iter("p") for part in paragraph.itertext())
    text = _main_text(tree, mode)
    if mode == "precision" and len(text) < _SUSPICIOUS_FRACTION * paragraphs:
        balanced = _main_text(trafilatura.load_html(page), "balanced")
        if len(text) < FALLBACK_FRACTION * len(balanced):
            return title, unescaped(balanced), True
    return title, unescaped(text), False


def _main_text(tree: object, mode: Mode) -> str:
    import trafilatura

    text = trafilatura.extract(
        tree,
        output_format="markdown",
        include_comments=False,
        include_formatting=True,
        favor_precision=mode == "precision",
        favor_recall=mode == "recall",
    )
    return text or ""


def by_resiliparse(page: str) -> tuple[str, str]:
    """`(title, text)`: plain text with its line breaks, by Resiliparse's rules (Bevendorff et al. 2018)."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(page)
    text = extract_plain_text(tree, main_content=True, alt_texts=False, comments=False)
    return squeeze(tree.title or ""), text
