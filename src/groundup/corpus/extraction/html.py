"""HTML to title and main text. Runs in a worker: what a page can do to these libraries is not known beforehand."""

from groundup.corpus.clean import squeeze


def by_trafilatura(page: str) -> tuple[str, str]:
    """`(title, text)`: markdown with `#` headings, by trafilatura's precision mode (Barbaresi 2021, ACL demo 15)."""
    import trafilatura

    tree = trafilatura.load_html(page)
    if tree is None:
        return "", ""
    title = squeeze(tree.findtext(".//title") or "")
    text = trafilatura.extract(
        tree, output_format="markdown", include_comments=False, include_formatting=True, favor_precision=True
    )
    return title, text or ""


def by_resiliparse(page: str) -> tuple[str, str]:
    """`(title, text)`: plain text with its line breaks, by Resiliparse's rules (Bevendorff et al. 2018)."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(page)
    text = extract_plain_text(tree, main_content=True, alt_texts=False, comments=False)
    return squeeze(tree.title or ""), text
