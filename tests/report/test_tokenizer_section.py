"""The report on the tokenizer: text per token by source and language, with another's, and how tokens are used."""

import lxml.html
import pytest
from fake_run import FakeRun

from groundup.report.configuration import ReportConfig
from groundup.report.run import read_run
from groundup.report.sections.tokenizer import tokenizer, visible


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return FakeRun(tmp_path_factory.mktemp("run"))


def section(run):
    html = tokenizer(read_run(run.folder, run.artifacts), ReportConfig())
    return lxml.html.fromstring(f"<div>{html}</div>")


def rows(tree, heading):
    table = next(one for one in tree.xpath("//table") if one.xpath(".//th")[0].text_content() == heading)
    return [
        [cell.text_content().replace("\u202f", " ") for cell in row.xpath("./th|./td")] for row in table.xpath(".//tr")
    ]


def test_bytes_per_token_by_language(run):
    tree = section(run)
    heads, english, german = rows(tree, "language")
    assert heads == ["language", "text", "", "bytes per token", "on a sample", "gpt2", "tokens, against it"]
    assert english == ["en", "4.6 MB", "", "3.92", "3.39", "3.51", "+3 %"]
    assert german == ["de", "400 kB", "", "1.33", "", "", ""]  # there was no sample of it
    assert rows(tree, "source")[1][:4] == ["python-docs", "5.0 MB", "", "3.39"]
    assert "gpt2 has 50,256 tokens" in tree.text_content()


def test_how_often_tokens_are_used(run):
    tree = section(run)
    assert [row[::2] for row in rows(tree, "used")[:2]] == [["used", "tokens"], ["never", "87"]]
    assert "·NotImplementedErro 0" in tree.text_content()


def test_without_another_tokenizer_one_source_needs_no_table(run):
    figures = run.artifacts["tokenizer"].manifest.figures
    other, figures["compared"] = figures["compared"], None
    try:
        tree = section(run)
    finally:
        figures["compared"] = other
    assert rows(tree, "language")[0] == ["language", "text", "", "bytes per token"]
    assert not [one for one in tree.xpath("//table") if one.xpath(".//th")[0].text_content() == "source"]


def test_white_space_is_shown():
    assert visible("  ") == "··"
    assert visible("\u00a0\u2003") == "⍽⍽"
    assert visible("a b\n") == "a b⏎"
    assert visible("\n\t", keep_lines=True) == "⏎\n→"
