"""MediaWiki's markup: what a reader of the page sees, in linear time whatever the page holds."""

import time

import pytest

from groundup.corpus.extraction.wikitext import read_wikitext


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''Tea''' is a ''hot'' [[drink|cup]] of [[leaf]]s.", "Tea is a hot cup of leafs."),
        ("L'''amour''' 'x' ''''y''''", "Lamour 'x' 'y'"),
        ("A{{cite web|url=[[b]]|x={{y|{{z}}}}}}B{{{param|{{c}}}}}C", "ABC"),
        ("She said {{lang|fr|au revoir}} ({{lang-de|Tschüss}}; {{IPA|x}}).", "She said au revoir (Tschüss; x)."),
        ("It is {{convert|5|to|6|km|mi}} by {{frac|1|2}}{{nbsp}}mile{{mdash}}{{as of|2009}}.",
         "It is 5 to 6 km by 1/2 mile—2009."),
        ("{{blockquote|text=Be {{em|quiet}}.|author=Ann}}", "Be quiet."),
        ("Gone ({{unknown|x}}, ) here.", "Gone here."),
        ("[[File:A.jpg|thumb|A [[cup]] of {{lang|fr|thé}}]]Tea[[Category:Drinks]][[de:Tee]]", "Tea"),
        ("[[Datei:A.jpg|mini|Eine [[Tasse]]]]Tee", "Tee"),
        ("See [[:Category:Drinks]], [[wikt:tea|tea]], [[Tea (plant)|]].", "See Category:Drinks, tea, Tea (plant)."),
        ("[https://x.org The site], [//y.org] and https://z.org.", "The site,  and https://z.org."),
        ("Hot.<ref name=a>{{x}}</ref><ref name=b/> Cold.<!-- [[c]] --> <nowiki>[[d]] &lt;</nowiki>",
         "Hot. Cold. [[d]] <"),
        ("E = <math>m c^2</math>, a &lt; b &amp;nbsp; H<sub>2</sub>O<br />x", "E = $m c^2$, a < b &nbsp; H2O\nx"),
        ("== Leaves ==\nGreen.\n=== Tips ===\n{{stub}}\n== Notes ==\n<references/>", "## Leaves\n\nGreen."),
        ("* a\n** b\n# c\n: d\n; e\n*", "- a\n  - b\n1. c\nd\ne"),
        ('<syntaxhighlight lang="c">\n# x\n[[1]]\n</syntaxhighlight>', "```c\n# x\n[[1]]\n```"),
        ('{|class="x"\n|+ Crops\n! Year !! Tons\n|-\n|style="a" | 1999 || [[tea|5]]\n|-\n|2000\n|6\n|}\nx',
         "Crops\nYear | Tons\n1999 | 5\n2000 | 6\n\nx"),
        ('{|class="infobox"\n|a\n{|\n|b\n|}\n|}\nx', "x"),
        ('{|\n|-\n|[[a]]\n|colspan="2" {{yes}}\n|a = b\n|bgcolor=red|c\n|}', "a |  | a = b | c"),
        ("__NOTOC__-{zh-hans:计算机; zh-hant:電腦}-", "计算机"),
        ("An open {{brace, an open [[bracket|x", "An open {{brace, an open [[bracket|x"),
        ("A [[b|c {{d]] e", "A c {{d e"),
        ("<ref>never closed, '''kept'''", "never closed, kept"),
    ],
)  # fmt: skip
def test_what_a_reader_sees(markup: str, text: str) -> None:
    assert read_wikitext(markup, frozenset({"file", "datei", "category"})) == text


UNITS = ["{{", "[[", "{{a|", "[[a|", "{{lang|fr|", "<ref>", "<nowiki>", "{|\n", "{|\n|-\n|a\n", "'''", "-{", "[http://"]
UNITS += [
    "= ",
    "==\n",
    "* a\n",
    "<!--",
    "}}",
    "]]",
    "{{{",
    "== a ==\n",
    "<ref><nowiki>",
    "(",
    "{|\n|a=a=a=a|\n",
    "#",
    "|}\n",
]


def seconds_for(page: str) -> float:
    """Processor time, the least of three: other work on the machine makes it longer."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        read_wikitext(page)
        taken.append(time.process_time() - started)
    return min(taken)


@pytest.mark.parametrize("unit", UNITS)
def test_no_page_takes_long(unit: str) -> None:
    for end in ("", "}}" * 1000 + "]]" * 1000 + "x"):
        seconds = [seconds_for(unit * (size // len(unit)) + end) for size in (20_000, 160_000)]
        assert seconds[1] < max(24 * seconds[0], 0.3)
