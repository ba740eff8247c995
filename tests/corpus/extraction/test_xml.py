"""XML becomes text to read: every word of the textbook is there, once, in order, and nothing of its metadata."""

import re

from lxml import etree

from groundup.corpus.extraction.xml import read_xml
from made.real import DATA
from made.textbook import chapters

TEXTBOOK = DATA / "corpus" / "openstax_economics" / "modules"  # read too, where it is there

CNXML = """<?xml version="1.0"?>
<document xmlns="http://cnx.rice.edu/cnxml" xmlns:m="http://www.w3.org/1998/Math/MathML" xmlns:md="http://x/mdml">
<title>Money</title><metadata><md:title>Money</md:title><md:abstract>Skipped</md:abstract></metadata>
<content><para>Banks <term>lend</term>
 money,&nbsp;and <emphasis>more</emphasis>.<newline/>Next.</para>
<section><title>Rates</title><list><title>Kinds</title><item>High</item><item>Low</item></list>
<equation><m:math><m:mi>r</m:mi><m:mo>=</m:mo><m:mfrac><m:mi>a</m:mi><m:mrow><m:mi>b</m:mi></m:mrow></m:mfrac>
<m:msup><m:mi>x</m:mi><m:mn>2</m:mn></m:msup></m:math></equation>
<table><row><entry>One</entry><entry>Two</entry></row></table>
<code display="block">for x:
    y</code></section></content></document>"""


def test_a_document_with_everything() -> None:
    title, text = read_xml(CNXML)
    assert title == "Money"
    assert text == (
        "# Money\n\nBanks lend money, and more. Next.\n\n## Rates\n\nKinds\n\n- High\n- Low\n\n"
        "r = a / b x^2\n\nOne | Two\n\n```\nfor x:\n    y\n```"
    )


def test_any_vocabulary() -> None:
    title, text = read_xml("<notes><note><to>You</to><body>Remember <b>me</b>!</body></note></notes>")
    assert (title, text) == ("", "You\n\nRemember me!")


def test_the_words_of_a_textbook() -> None:
    """The text that lxml gives of the document without its metadata, word by word."""
    real = [path.read_text(encoding="utf-8") for path in sorted(TEXTBOOK.glob("*/index.cnxml"))[:60]]
    for document in [*(document for _, document in chapters(30)), *real]:
        tree = etree.fromstring(document.encode())
        for gone in tree.xpath(
            "//*[local-name()='metadata' or local-name()='annotation' or local-name()='annotation-xml']"
        ):
            gone.getparent().remove(gone)
        wanted = re.sub(r"[\W_]+", "", "".join(tree.itertext()))
        title, text = read_xml(document)
        assert title == " ".join("".join(tree.find("{*}title").itertext()).split())
        assert re.sub(r"[\W_]+", "", text) == wanted
