"""Chapters of a textbook in CNXML, the vocabulary of OpenStax, with the text that a reader should see of each."""

from html import escape
from random import Random

from made import prose

HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n<document xmlns="http://cnx.rice.edu/cnxml" id="chapter" '
    'xmlns:m="http://www.w3.org/1998/Math/MathML" xmlns:md="http://cnx.rice.edu/mdml">'
)


def chapters(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """`(title, CNXML)`: sections in sections, lists, tables, notes, figures, exercises and formulas."""
    random = Random(seed)
    return [_chapter(random) for _ in range(count)]


def _chapter(random: Random) -> tuple[str, str]:
    title = prose.title(random)
    metadata = f"<metadata><md:content-id>m1</md:content-id><md:title>{title}</md:title></metadata>"
    body = "\n".join(_block(random, depth=0) for _ in range(random.randint(4, 9)))
    return title, f"{HEAD}\n<title>{title}</title>\n{metadata}\n<content>\n{body}\n</content>\n</document>\n"


def _block(random: Random, depth: int) -> str:
    kind = random.choice(["para", "para", "para", "list", "note", "table", "formula", "figure", "exercise", "section"])
    if kind == "section" and depth < 3:
        inside = "\n".join(_block(random, depth + 1) for _ in range(3))
        return f'<section id="s{random.randint(1, 999)}"><title>{prose.title(random)}</title>\n{inside}</section>'
    if kind == "list":
        return "<list>" + "".join(f"<item>{_words(random)}</item>" for _ in range(3)) + "</list>"
    if kind == "note":
        return f'<note class="key"><title>{prose.title(random)}</title><para>{_words(random)}</para></note>'
    if kind == "table":
        rows = "".join(f"<row><entry>{_words(random)}</entry><entry>{random.random():.2f}</entry></row>" for _ in "123")
        return f'<table summary=""><tgroup cols="2"><tbody>{rows}</tbody></tgroup></table>'
    if kind == "formula":
        return (
            "<equation><m:math><m:semantics><m:mrow><m:mi>P</m:mi><m:mo>=</m:mo><m:mfrac><m:mi>Q</m:mi><m:mn>2</m:mn>"
            "</m:mfrac></m:mrow><m:annotation>P = Q / 2</m:annotation></m:semantics></m:math></equation>"
        )
    if kind == "figure":
        return f'<figure><media alt=""><image src="a.png"/></media><caption>{_words(random)}</caption></figure>'
    if kind == "exercise":
        problem, solution = _words(random), _words(random)
        return f"<exercise><problem><para>{problem}</para></problem><solution>{solution}</solution></exercise>"
    return f"<para>{_words(random)} <emphasis>{_words(random)}</emphasis> <term>{prose.title(random)}</term></para>"


def _words(random: Random) -> str:
    return escape(prose.sentence(random), quote=False)
