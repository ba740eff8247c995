"""Whatever a text holds, it comes out of the page as text."""

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from groundup.report.markup import Html, bar, facts, join, tag, text

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
ANY_TEXT = st.text(st.characters() | st.sampled_from("<>&\"'/\x00\x1b\ud800=")) | st.sampled_from(
    ["<script>alert(1)</script>", "</td></table>", "&lt;b&gt;", '" onload="x', "<!--", "]]>", "\u202egnirts"]
)


class Seen(HTMLParser):
    """What the standard library's parser, which nobody here wrote, makes of it."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError("a text became a comment")


@given(ANY_TEXT)
def test_text_stays_text(value):
    """Parsed back, an element holds the text it was given, what can't be shown replaced, and no other element."""
    seen = Seen(tag("p", value))
    assert seen.tags == ["p"]
    assert seen.text == FORBIDDEN.sub("\ufffd", value)
    tag("p", value).encode("utf-8")  # half characters would fail


@given(ANY_TEXT)
def test_an_attribute_keeps_its_bounds(value):
    """A text in an attribute adds no attribute and no element."""
    seen = Seen(tag("span", "x", aria_label=value))
    assert seen.tags == ["span"] and list(seen.attributes[0]) == ["aria-label"]
    assert seen.attributes[0]["aria-label"] == FORBIDDEN.sub("\ufffd", value)


def test_markup_is_not_escaped_twice():
    """`Html` passes through, also nested, and joins stay markup."""
    inner = tag("b", "a < b")
    assert tag("p", inner) == "<p><b>a &lt; b</b></p>"
    assert text(join([inner, "&", None], between=" ")) == "<b>a &lt; b</b> &amp;"
    assert isinstance(join([]), Html)


def test_attributes():
    """Python's reserved words and underscores are written as HTML has them; None leaves an attribute out."""
    assert tag("td", class_="number", id=None) == '<td class="number"></td>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_bars_stay_in_their_cell_and_empty_facts_stay_away():
    """Fractions out of bounds are clamped; a pair without a value is omitted."""
    assert "width:100.0%" in bar(1.7) and "width:0.0%" in bar(-1)
    assert "steps" not in facts([("steps", None), ("loss", 1)])
