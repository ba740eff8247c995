"""The extractor's Markdown becomes the text that the page had; code is not changed."""

import time

import pytest

from groundup.corpus.extraction import html
from groundup.corpus.extraction.escapes import unescaped

PAGE = r"""<html><head><title>T</title></head><body><article><h1>On reading [1]</h1>
<p>She wrote &lt;tea~time&gt; and x<sup>2</sup>, <u>twice</u>, in a_b*c of the long book [sic] about the winters of the north.</p>
<p>Run <code>a[0] &lt; b_c * 2</code> in the folder C:\[new] to see what has become of it in the meantime, my dear reader.</p>
<pre><code>x = a[0] * &lt;u&gt;
# y_z</code></pre></article></body></html>"""  # noqa: E501


def test_a_page_comes_out_as_it_is_written() -> None:
    _, text, _ = html.by_trafilatura(PAGE)
    assert "# On reading [1]" in text
    assert "She wrote <tea~time> and x2, twice, in a_b*c of the long book [sic]" in text
    assert r"`a[0] < b_c * 2` in the folder C:\[new] to see" in text
    assert "```\nx = a[0] * <u>\n# y_z\n```" in text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        (r"\# no heading", "# no heading"),
        (r"12\. no item", "12. no item"),
        (r"one \\\[x\]", r"one \[x]"),
        (r"C:\docs\.git", r"C:\docs\.git"),
        (r"`a\[0\]` \[b\]", r"`a\[0\]` [b]"),
        (r"``a ` \_`` \_", r"``a ` \_`` _"),
        (r"one ` tick \_ only", "one ` tick _ only"),
        ("~~~\n\\[\n```\n\\[\n~~~\n\\[", "~~~\n\\[\n```\n\\[\n~~~\n["),
        ("a `x\n\nb` \\_", "a `x\n\nb` _"),
        (r"\<u> is <sub>a</sub> tag", "<u> is a tag"),
    ],
)
def test_escapes(markdown: str, text: str) -> None:
    assert unescaped(markdown) == text


@pytest.mark.parametrize("unit", ["`", "\\", "\\[", "<u>", "```\n", "`a``b", "~~~ "])
def test_long_runs_take_linear_time(unit: str) -> None:
    started = time.process_time()
    unescaped(unit * 100_000 + "\\[")
    assert time.process_time() - started < 4


@pytest.mark.parametrize(("precise", "expected"), [(10, True), (40, False), (80, False)])
def test_precision_is_given_up_where_it_loses_most_of_a_page(
    monkeypatch: pytest.MonkeyPatch, precise: int, expected: bool
) -> None:
    """Of 100 words in paragraphs the precise mode keeps `precise`, the balanced one all."""
    tried = []

    def main_text(tree: object, mode: str) -> str:
        tried.append(mode)
        return "word " * (precise if mode == "precision" else 100)

    monkeypatch.setattr(html, "_main_text", main_text)
    page = "<html><head><title>T</title></head><body><p>" + "word " * 100 + "</p></body></html>"
    _, text, fell_back = html.by_trafilatura(page)
    assert fell_back is expected
    assert len(text.split()) == (100 if expected else precise)
    assert tried == (["precision"] if precise == 80 else ["precision", "balanced"])  # a second pass only on suspicion
