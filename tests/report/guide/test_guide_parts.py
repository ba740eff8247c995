"""The guide's small parts: Markdown's additions, equations, checks, commands, and a small book built over nothing."""

from pathlib import Path

import pytest

from groundup.blueprint import gallery
from groundup.errors import GroundupError
from groundup.pipeline.folder import Remembered, RunFolder
from groundup.progress import Silent
from groundup.report.guide.build import BuiltBook, assemble
from groundup.report.guide.commands import run_command
from groundup.report.guide.markdown import parse
from groundup.report.guide.mathematics import plain, read
from groundup.report.guide.printed import markup
from groundup.report.guide.session import formatted
from groundup.report.guide.site import write_site

BOOK = """
title: A small book
subtitle: for tests
parts:
  - {title: Part, chapters: [one]}
  - {title: Appendices, numbered: letters, chapters: [notation]}
"""
CHAPTER = """# Counting

A [[token]] is a piece of text. See [](fig:causal), [](eq:chain) and [](ex:1.1). There are {{= 3 }}.

```{equation} chain
p(x_t | x_(<t)) = 1 / V
```

```{python}
answer = 6 * 7
print("the answer is", answer)
```

It is {{= answer }}, or {{= answer / 100 as percent}}.

```{figure} masks label=causal
Three masks.
```

```{plot} line
A line.
---
plot = {"lines": {"y": ([0, 1], [0, answer])}, "x_label": "x", "y_label": "y"}
```

```{source} groundup.report.guide.quotes.quote
The function that found this.
```

```{exercises}
```
"""
NOTATION = """# Notation

```{where}
x_t: a token
t: a position
V: how many tokens there are
p: a probability
```
"""
EXERCISES = """## One

Define `f`.

```python solution
f = 1
```

```python wrong: not one
f = 2
```

```python check
expect(answer.f == 1, "that is not one")
```
"""


def small_book(folder: Path, chapter: str = CHAPTER) -> Path:
    """The sources of a book of one chapter and an appendix."""
    files = {"chapters/one": chapter, "chapters/notation": NOTATION, "exercises/one": EXERCISES}
    for name, text in files.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "book.yaml").write_text(BOOK, encoding="utf-8")
    return folder


def empty_run(folder: Path) -> Path:
    """A run of the default blueprint in which no stage has run."""
    folder.mkdir(parents=True)
    (folder / "blueprint.source.yaml").write_text(gallery.text(gallery.DEFAULT), encoding="utf-8")
    RunFolder(folder).remember(Remembered(str(folder / "blueprint.source.yaml")))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltBook:
    base = tmp_path_factory.mktemp("guide")
    run = empty_run(base / "runs" / "none")
    return assemble(run, base / "cache", Silent(), folder=small_book(base / "book"))


def test_values_blocks_and_plots_come_from_the_chapters_code(built: BuiltBook, tmp_path: Path) -> None:
    write_site(built, tmp_path)
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    for shown in ("the answer is 42", ">42</span>", "42.0\u202f%", "figure 1.1", "equation (1.1)", "exercise 1.1"):
        assert shown in page, shown
    assert 'id="fig-causal"' in page and 'href="one.html#fig-causal"' in page
    assert 'href="https:' not in page  # nothing is fetched; links to papers are the only ones that lead outside
    assert '"one.html#exercise' not in (tmp_path / "search-index.js").read_text(encoding="utf-8")


def test_every_page_has_ways_and_the_menu(built: BuiltBook, tmp_path: Path) -> None:
    write_site(built, tmp_path)
    assert {path.name for path in tmp_path.glob("*.html")} == {
        "index.html",
        "one.html",
        "notation.html",
        "glossary.html",
    }
    for path in tmp_path.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert 'rel="next"' in text or path.name == "glossary.html"
        assert 'name="viewport"' in text and 'type="search"' in text


def test_the_pdf_has_contents_index_and_every_figure(built: BuiltBook, tmp_path: Path) -> None:
    typst = pytest.importorskip("typst")
    pypdf = pytest.importorskip("pypdf")
    from groundup.report.guide.handouts import write_cheat_sheet, write_slides
    from groundup.report.guide.printed import write_pdf

    assert typst
    source = markup(built, tmp_path / "typst")
    assert "#drawing(" in source and source.count("#exercise(") == 1
    write_pdf(built, tmp_path / "guide.pdf")
    reader = pypdf.PdfReader(tmp_path / "guide.pdf")
    text = "\n".join(page.extract_text() for page in reader.pages)
    assert reader.outline and "Contents" in text and "Index" in text and "Figure 1.1" in text
    write_cheat_sheet(built, tmp_path / "sheet.pdf")
    write_slides(built, tmp_path / "slides.pdf")
    assert len(pypdf.PdfReader(tmp_path / "sheet.pdf").pages) == 1
    assert len(pypdf.PdfReader(tmp_path / "slides.pdf").pages) == 4  # title, chapter, two pictures


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("It took 17 minutes.", "a number typed by hand"),
        ("Then $q_t$ follows.", "uses q without saying what that is"),
        ("The perplexity is low.", "uses 'perplexity' before it is explained"),
        ("As [](fig:nowhere) shows.", "refers to fig:nowhere"),
        ("See `docs/no-such-page.md`.", "names docs/no-such-page.md"),
        (f"Call `{'x' * 60}`.", "is too long for a line"),
    ],
)
def test_what_a_reader_should_not_see_fails_the_build(tmp_path: Path, line: str, finding: str) -> None:
    book = small_book(tmp_path / "book", f"# One\n\n{line}\n")
    with pytest.raises(GroundupError, match=finding):
        assemble(empty_run(tmp_path / "run"), tmp_path / "cache", Silent(), folder=book)


def test_names_years_and_papers_may_have_digits(tmp_path: Path) -> None:
    line = "GPT-2, H100, 1F1B and Llama 3 in 2026, arXiv 1706.03762."
    book = small_book(tmp_path / "book", f"# One\n\n{line}\n")
    assemble(empty_run(tmp_path / "run"), tmp_path / "cache", Silent(), folder=book)


@pytest.mark.parametrize(
    "block",
    [
        "```{source} groundup.no.such.thing\n```",
        "```{figure} no-such-figure\nx\n```",
        "```{figure} metrics keys=loss\nx\n```",
        "```{command} groundup no-such-verb\n```",
        "```{python}\nraise ValueError('no')\n```",
        "It is {{run:evaluate.no.such.figure}}.",
        "```{tried} No such section\n```",
        "```{nonsense}\n```",
    ],
)
def test_what_cannot_be_filled_in_fails_the_build(tmp_path: Path, block: str) -> None:
    book = small_book(tmp_path / "book", f"# One\n\n{block}\n")
    with pytest.raises(GroundupError):
        assemble(empty_run(tmp_path / "run"), tmp_path / "cache", Silent(), folder=book)


def test_equations_become_mathml_and_give_their_symbols() -> None:
    found = read("L(theta) = -1/T sum_(t=1)^T ln p(x_t | x_(<t))", "here", display=True)
    assert found.symbols == ["L", "theta", "T", "t", "p", "x"]
    assert found.markup.startswith('<math display="block">') and "<munderover>" in found.markup
    assert plain("x_t^2 / 2") == "xt22"
    with pytest.raises(GroundupError, match="no symbol that is known"):
        read("foo + 1", "here")


def test_markdowns_additions_are_tokens() -> None:
    (_, inline, _) = parse("Here $x$ is {{= 1 }} and [[token|tokens]], not `$y$`.")
    assert [child.type for child in inline.children or []] == [
        *("text", "math", "text", "value", "text", "term", "text", "code_inline", "text")
    ]


def test_values_are_written_as_a_reader_wants_them() -> None:
    assert formatted(1234567, "") == "1,234,567"
    assert formatted(0.5, "percent") == "50.0\u202f%"
    assert formatted(-0.25, ".2f") == "\u22120.25"
    with pytest.raises(ValueError, match="no such figure"):
        formatted(None, ".2f")


def test_a_command_is_quoted_without_the_machines_paths(tmp_path: Path) -> None:
    output = run_command("python -c 'import sys; print(sys.argv[1])' {run}", tmp_path, "runs/mine", tmp_path, "here")
    assert output == "runs/mine"
