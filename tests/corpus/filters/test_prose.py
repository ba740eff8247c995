"""Prose is what is left without code, tables, front matter and markup; documentation with code is kept."""

import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.filters.configuration import RulesConfig
from groundup.corpus.filters.presets import RULES
from groundup.corpus.filters.prose import prose_of
from groundup.corpus.filters.rules import judge
from groundup.corpus.filters.statistics import MIN_PROSE_WORDS, measure, measure_all

SENTENCES = (
    "A parcel is weighed at the counter, and its weight is written on the label before it leaves.",
    "Every clerk can read the label, but only the office in town may change it.",
    "When two parcels have the same number, the later one waits until somebody has looked at both.",
    "The function returns the parcels of one day; it never returns those of the day before.",
    "Pass a path to read from a file instead, or nothing to read from the standard input.",
    "Errors are reported with the line on which they were found, so that they can be corrected.",
)
CODE = """\
function weigh(parcel) {
  if (parcel == null) {
    return 0;
  }
  for (let i = 0; i < parcel.items.length; i++) {
    total += parcel.items[i].weight * 1000;
  }
  return total;
}"""


def prose(text: str) -> str:
    return prose_of(pa.array([text])).texts[0].as_py()


def indented(text: str, by: str = "    ") -> str:
    return "\n".join(by + line if line else "" for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("One.\n\n```js\ncode {\n\n# no heading\n```\n\nTwo.\n", "One.\n\n\nTwo.\n"),
        ("One.\n~~~~\n~~~\ncode\n~~~~\nTwo.", "One.\nTwo."),
        ("- One:\n\n  ```\n  code\n  ```\n- Two.", "- One:\n\n- Two."),
        ("One.\n```\nno end of it", "One.\nno end of it"),  # a stray sign hides nothing
        ("One.\n\n```js\nx = f(1);\n\ny[2] = {};\n\nIt was a dark night.", "One.\n\n\n\nIt was a dark night."),
        ("One.\n```\nx = f(1);\n~~~\nis code\n~~~\n", "One.\n"),  # is code, since the whole block has signs
        ("```x``` is a span.\n\nTwo.\n```\ncode\n```\n", "```x``` is a span.\n\nTwo.\n"),
        ("1. ```sh\n   make\n   ```\n2. One.", "2. One."),
        ("> One.\n> ```js\n> code {\n>\n> more\n> ```\n> Two.\n\nThree.", "One.\nTwo.\n\nThree."),
        ("> ```\n> ends with the quote\nOne.", "One."),
        (">> One.\n>\n>     x = f(1);\n>     y[2] = {};\n\nTwo.", "One.\n\n\nTwo."),
        ("> | a | b |\n> |---|---|\n> One.", "One."),
        ("> ## One\n> $ make all", " One\n"),
        ("One.\n```\n> ```\ncode\n```\nTwo.", "One.\nTwo."),  # a quote's mark in a fence is code
        ("<table>\n<tr><td>One</td>\n\n<td>\n\nTwo.\n</td></tr>\n</table>\nThree.", "Three."),
        ("<div align='center'><table border=1>\nOne.\n</table></div>\nTwo.", "Two."),
        ("<TABLE>\n<table>\nOne.\n</table>\nTwo.\n</TABLE>\nThree.", "Three."),
        ("<table>\n<table>\nOne.\n</table>\nTwo.", "Two."),  # as far as the last end
        ("One.\n<table>\nno end of it", "One.\nno end of it"),
        ("<svg\n width='1'>\n<path d='M 1 2'/>\n</svg>\nOne.", "One."),
        ("One:\n$$\nx = y\n$$\nTwo.\n$$ x = y $$ (1)\n$$z$$ {#eq:a}\n", "One:\nTwo.\n"),
        ("One:\n\\[\nx = y\n\\]\nTwo.\n\\begin{align*}\nx &= y \\\\\n\\end{align*}\n", "One:\nTwo.\n"),
        ("$$x$$ is a number.", None),
        ("\\[sic\\] is what it says.", None),
        ("$$ is a variable of the shell.\n\nOne.\n\n$$ is another.", None),  # a blank line is in no formula
        ("\\begin{itemize}\nOne.\n\\end{itemize}", None),
        ("---\ntitle: T\n---\nOne.", "One."),
        ("+++\ntitle = 'T'\n+++\nOne.", "One."),
        ("---\nOne.\n\nTwo.", "One.\n\nTwo."),  # a rule, no front matter
        ("One.\n<pre class='x'>\na <b> c\n</pre>\nTwo.", "One.\nTwo."),
        ("One.\n<PRE>\nno end of it", "One.\nno end of it"),  # a tag
        ("One.\n\n    x = f(1);\n    y[2] = {};\n\nTwo.", "One.\n\n\nTwo."),
        ("One.\n\n    It was a dark night, and nobody was on the road.\n\nTwo.", None),  # indented, but no code
        ("- One.\n\n    x = f(1); it belongs to the item\n\nTwo.", None),
        ("Like this::\n\n  it is literal\n\n  and this\n\nTwo.", "Like this::\n\n\nTwo."),
        (">>> weigh(1)\n1000\n\nOne.", "\nOne."),
        ("$ make all\ngcc -c x.c\n\nOne.", "\nOne."),
        ("One.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nTwo.", "One.\n\n\nTwo."),
        ("a | b\n--|--\n1 | 2\n\nOne | two.", "a | b\n\nOne | two."),
        ("+---+---+\n| a | b |\n+===+===+\nOne.", "One."),
        ("## Title\n\nOne.", " Title\n\nOne."),
        ("Title\n=====\nOne.\n\n* * *\n", "Title\nOne.\n\n"),
        ("<div align='center'>\n\nOne <b>two</b>.\n</div>", "\nOne <b>two</b>.\n"),
        ("{{< note >}}\nOne.\n{{< /note >}}\n{% raw %}\n", "One.\n"),
        ("1 < 2 and 3 > 2.", None),
        ("", ""),
    ],
)
def test_what_is_prose(text: str, left: str | None) -> None:
    assert prose(text) == (text if left is None else left)
    assert prose_of(pa.array([text])).whole[0] == (left is None or left == text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab \n`~<>/|-+#:.$\t{}%é1\\[]", max_size=60), max_size=4))
def test_a_batch_is_its_texts_and_prose_is_made_of_their_lines(texts: list[str]) -> None:
    found = prose_of(pa.array(texts, pa.string())).texts.to_pylist()
    assert found == [prose(text) for text in texts]
    for text, kept in zip(texts, found, strict=True):
        lines = ["", *(line.lstrip("\t #>") for line in text.split("\n"))]
        assert all(line.lstrip("\t #>") in lines for line in kept.split("\n"))


FORMULA = "\n".join(f"w_{at} &= \\sum_{{i}} v_i^{at} \\\\" for at in range(9))
STYLES = ("fenced", "indented", "literal", "pre", "session", "table", "html", "formula", "quoted", "open")


def composed(style: str, number: int) -> str:
    """A page of a reference: six entries, each with the same labels, a few sentences of its own and code."""
    entries = []
    for entry in range(6):
        text = " ".join(f"{one[:-1]} ({number * 6 + entry}-{at})." for at, one in enumerate(SENTENCES))
        block = {
            "fenced": f"```js\n{CODE}\n```",
            "indented": indented(CODE),
            "literal": f"Like this::\n\n{indented(CODE, '  ')}",
            "pre": f"<pre><code>\n{CODE}\n</code></pre>",
            "open": "",
            "session": "\n".join(f">>> weigh(parcels[{at}])\n{{'grams': {at}000}}" for at in range(8)),
            "table": "\n".join(["| name | grams |", "|---|---|", *(f"| {at} | {at}000 |" for at in range(9))]),
            "html": "<table>\n" + "<tr>\n<td>\nmore than 1000 g\n</td>\n</tr>\n" * 9 + "</table>",
            "formula": "\n\n".join(f"$$\n{line}\n$$" for line in (FORMULA, "a^2 + b^2")),
            "quoted": "\n".join(f"> {line}" for line in f"```js\n{CODE}\n```".split("\n")),
        }[style]
        labels = (f"### entry_{entry}", text, "#### Example", f"{block}\n\n{block}", "#### Returns", "A number.")
        entries.append("\n\n".join(labels))
    if style == "open":
        entries.append(f"```js\n{CODE}\n\n{CODE}\n\n{CODE}\n\n{CODE}\n\n{CODE}\n\n{CODE}")
    return "---\ntitle: Parcels\nweight: 3\n---\n\n# Parcels\n\n" + "\n\n".join(entries) + "\n"


@pytest.mark.parametrize("style", STYLES)
def test_documentation_with_code_loses_no_words(style: str) -> None:
    """With the default preset, as its authors wrote it; the published presets still count everything."""
    texts = pa.array([composed(style, number) for number in range(20)], pa.large_string())
    statistics = measure_all(texts, prose_of(texts))
    verdicts = judge(statistics, RulesConfig(language=None))
    words = statistics.column("words").to_numpy()
    assert words[~verdicts.kept].sum() < 0.03 * words.sum(), verdicts.rule
    assert judge(statistics, RulesConfig(preset="gopher", language=None)).kept.sum() == 0


def test_a_stray_fence_hides_no_noise() -> None:
    """What follows a fence without an end is judged, unless it looks like code."""
    noise = "```\n" + "Buy the best parcels here, and buy them now.\n" * 60
    texts = pa.array([noise, f"```\n{CODE}\n" * 2], pa.large_string())
    assert judge(measure_all(texts, prose_of(texts)), RulesConfig(language=None)).rule.tolist() == [
        "max_duplicate_line_characters",
        "",
    ]


def test_published_presets_are_measured_on_the_whole_text() -> None:
    assert {name: preset["measured_on"] for name, preset in RULES.items()} == {
        "docs": "prose", "gopher": "text", "c4": "text", "fineweb": "text", "code": "text",
    }  # fmt: skip


def test_statistics_of_prose_are_those_of_the_prose_as_a_text() -> None:
    texts = pa.array([composed("fenced", 1), "All of it is prose.", f"Short.\n\n```\n{CODE}\n```\n"])
    found = prose_of(texts)
    statistics = measure_all(texts, found)
    alone = measure(found.texts)
    for name in ("words", "mean_word_length", "duplicate_lines", "top_trigram", "hashes_per_word"):
        first, second, third = statistics.column(f"prose_{name}").to_pylist()
        assert first == alone.column(name)[0].as_py()
        assert second is None  # it is that of the text
        assert third == (1 if name == "words" else None), "too little prose to say anything about"
    assert alone.column("words")[0].as_py() > MIN_PROSE_WORDS


def test_code_has_statistics_of_its_own() -> None:
    text = "One two.\n\n```\nab (1)\nlonger = {}\n```\n\n| a | b |\n|---|---|\n"
    row = measure_all(pa.array([text]), prose_of(pa.array([text]))).to_pylist()[0]
    everything = sum(not one.isspace() for one in text)
    code = "```ab(1)longer={}```"
    assert row["code_characters"] == pytest.approx(len(code) / everything)
    assert row["table_characters"] == pytest.approx(len("|a|b||---|---|") / everything)
    assert row["code_line_length"] == len("longer = {}")
    assert row["code_alphanumeric_characters"] == pytest.approx(len("ab1longer") / len(code))
    none = measure_all(pa.array(["Prose."]), prose_of(pa.array(["Prose."]))).to_pylist()[0]
    assert none["code_characters"] == 0 and none["code_alphanumeric_characters"] is None


LINES = (
    *(
        "    word\n\n",
        "```\n~~~~\n",
        "<pre>\n",
        "| a\n",
        "a::\n\n b\n\n",
        "`" * 9 + "x\n",
        "<table>\n",
        "</table>\n<table>\n",
    ),
    *("> ```\n", "> ", "> a\n\n", "$$ a\n", "$$$$ a\n", "\\[\n", "\\begin{align}\n", "<a> ", "```js\n\na\n\n", "- - "),
)


@pytest.mark.parametrize("line", LINES)
def test_it_takes_time_in_proportion_to_the_text(line: str) -> None:
    prose_of(pa.array(["compile"]))
    text = pa.array([line * (4_000_000 // len(line))], pa.large_string())
    began = time.process_time()
    prose_of(text)
    assert time.process_time() - began < 5
