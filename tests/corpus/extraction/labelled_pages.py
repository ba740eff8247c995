"""Pages whose main text is known, made of real parts, since no set of labelled pages is at hand.

The text is an article of MDN's archive, of which only the body is stored. The frame is a real page of another site,
with its menus, cookie notes, related posts and footer, whose own main text was taken out. So the label is exact, and
what an extractor must drop was written by others for readers, not for this test. What it can't show: how well the
main text is found where a page mixes it with other things, which a set labelled by hand would.
"""

import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import html

from made.real import DATA

WEB = DATA / "web"
# The element of each frame that holds its main text.
FRAMES = {
    "https://creativecommons.org/2024/04/23/": "//main",
    "https://creativecommons.org/mission/": "//main//div[@class='content']",
    "https://commoncrawl.org/blog/march-april": "//*[contains(@class, 'w-richtext')]",
    "https://www.semanticscholar.org/about": "//main",
    "https://an.wikipedia.org/wiki/Escopete": "//*[@id='mw-content-text']",
}
_LEAST_CHARACTERS, _MOST_CHARACTERS = 1500, 20_000


@dataclass(frozen=True)
class Labelled:
    """A page and the text that should be had of it."""

    page: str
    text: str
    frame: str


def labelled_pages(bodies: int) -> Iterator[Labelled]:
    """`bodies` articles in each of the frames."""
    frames = dict(_frames())
    for body in _bodies()[:bodies]:
        text = " ".join(html.fromstring(f"<div>{body}</div>").text_content().split())
        for url, where in FRAMES.items():
            tree = html.fromstring(frames[url])
            element = tree.xpath(where)[0]
            tag = element.tag
            for child in list(element):
                element.remove(child)
            element.text = None
            for child in html.fragments_fromstring(body, no_leading_text=False):
                if isinstance(child, str):
                    element.text = child
                else:
                    element.append(child)
            assert element.tag == tag
            yield Labelled(html.tostring(tree, encoding="unicode"), text, url)


def score(found: str, label: str) -> tuple[float, float]:
    """`(precision, recall)` over bags of 4-word shingles, as Scrapinghub's article extraction benchmark counts them."""
    ours, theirs = _shingles(found), _shingles(label)
    both = sum((ours & theirs).values())
    return both / max(1, sum(ours.values())), both / max(1, sum(theirs.values()))


def f1(scores: list[tuple[float, float]]) -> float:
    """Harmonic mean of mean precision and mean recall."""
    precision, recall = (sum(column) / len(scores) for column in zip(*scores, strict=True))
    return 2 * precision * recall / max(1e-9, precision + recall)


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return Counter(zip(*(words[at:] for at in range(4)), strict=False)) if len(words) > 3 else Counter([tuple(words)])


def _frames() -> Iterator[tuple[str, str]]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for name in ("dolma/sample-0001.warc.gz", "whirlwind/whirlwind.warc.gz"):
        data = gzip.decompress((WEB / "warc" / name).read_bytes())
        for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response):
            address = record.headers["WARC-Target-URI"].strip("<>")
            for url in FRAMES:
                if address.startswith(url):
                    yield url, record.reader.read().decode("utf-8")


def _bodies() -> list[str]:
    """English articles of middling length, without the lists of links that MDN adds to some."""
    found = []
    for path in sorted((WEB / "mdn_html" / "files" / "en-us").rglob("*.html")):
        if not path.is_file():
            continue
        body = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(), flags=re.DOTALL)
        if "Quick_links" in body or "sidebar" in body or "{{" in body:
            continue
        if _LEAST_CHARACTERS <= len(html.fromstring(f"<div>{body}</div>").text_content()) <= _MOST_CHARACTERS:
            found.append(body)
    return found
