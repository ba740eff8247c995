"""Dumps of a wiki: articles and nothing else, from pieces of any size, and no page that takes others with it."""

import bz2
from pathlib import Path

import pytest

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files
from made.kinds import WIKI, WIKI_ENDS, zipped

PAGE = """  <page>
    <title>Page {0}</title>
    <ns>0</ns>
    <id>{0}</id>
    <revision><text>{1}</text></revision>
  </page>
"""
HEAD = WIKI[: WIKI.index("  <page>")]


def read(path: Path, piece_bytes: int = 1 << 26, megabytes: float = 8.0, **options: object) -> list[Document | Dropped]:
    source = Files.model_validate({"kind": "files", "path": path, **options})
    return [one for piece in pieces(source, "s", path, piece_bytes) for one in read_piece(piece, source, megabytes)]


def dump(texts: list[str]) -> str:
    return HEAD + "".join(PAGE.format(number, text) for number, text in enumerate(texts)) + "</mediawiki>\n"


def test_an_article(tmp_path: Path) -> None:
    """Its last revision, below its title, with the wiki's own names of namespaces and its address."""
    (tmp_path / "a.xml").write_text(WIKI)
    article, *others = read(tmp_path / "a.xml")
    assert isinstance(article, Document)
    assert (article.text, article.title) == WIKI_ENDS
    assert (article.url, article.offset) == ("https://de.wiki.example/wiki/Graue_Reiher", WIKI.index("<page>"))
    assert [(one.rule, one.origin, one.excerpt) for one in others if isinstance(one, Dropped)] == [
        ("no-article", "a.xml#8", "a redirect to Graue Reiher"),
        ("no-article", "a.xml#9", "of the wiki's namespace 10"),
    ]


def test_wherever_a_dump_lies(tmp_path: Path) -> None:
    """Known by how it begins: with a declaration, without a suffix, in an archive, compressed in several streams."""
    declared = "<?xml version='1.0' encoding='utf-8'?>\n" + WIKI
    files = {"a.xml": declared.encode(), "dump": WIKI.encode(), "b.zip": zipped({"c.xml": WIKI})}
    files["d.xml.bz2"] = bz2.compress(WIKI[:700].encode()) + bz2.compress(WIKI[700:].encode())
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = [one for one in read(tmp_path) if isinstance(one, Document)]
    assert {one.text for one in found} == {WIKI_ENDS[0]}
    assert [one.origin for one in found] == ["a.xml#7", "b.zip/c.xml#7", "d.xml.bz2#7", "dump#7"]
    (tmp_path / "page.xml").write_text("<article><title>A</title><para>No wiki.</para></article>")
    (one,) = read(tmp_path / "page.xml")
    assert isinstance(one, Document) and "No wiki." in one.text
    (one, *_) = read(tmp_path / "dump", format="mediawiki")
    assert isinstance(one, Document)


@pytest.mark.parametrize("size", [700, 5000, 60_000])
def test_cuts_change_nothing(tmp_path: Path, size: int) -> None:
    texts = [f"Text {number} [[Datei:x.jpg|a picture]] is {'long ' * (number % 90)}." for number in range(300)]
    (tmp_path / "a.xml").write_text(dump(texts))
    whole = read(tmp_path / "a.xml")
    assert len(whole) == 300 and all(isinstance(one, Document) and "picture" not in one.text for one in whole)
    source = Files.model_validate({"kind": "files", "path": tmp_path / "a.xml"})
    cut = pieces(source, "s", tmp_path, size)
    assert len(cut) > 1 and {piece.format for piece in cut} == {"mediawiki"}
    assert read(tmp_path / "a.xml", size) == whole


def test_bad_pages_cost_themselves(tmp_path: Path) -> None:
    """One without an end, one that is no XML, one too large, and a file that breaks off."""
    good = dump(["First.", "Open.", "No <b> XML.", "Large. " * 4000, "", "Last."])
    bad = good.replace("Open.</text></revision>\n  </page>", "Open.")
    (tmp_path / "a.xml").write_text(bad)
    found = read(tmp_path / "a.xml", megabytes=0.02)
    assert [one.text if isinstance(one, Document) else one.rule for one in found] == [
        "# Page 0\n\nFirst.", "truncated", "corrupt", "too-large", "no-text", "# Page 5\n\nLast.",
    ]  # fmt: skip
    (tmp_path / "a.xml").write_text(good[: good.index("Last.")])
    assert [one.rule for one in read(tmp_path / "a.xml") if isinstance(one, Dropped)] == [
        "corrupt",
        "no-text",
        "truncated",
    ]
    (tmp_path / "a.xml.bz2").write_bytes(bz2.compress(good.encode())[:-20])
    assert isinstance(read(tmp_path / "a.xml.bz2")[-1], Dropped)
    (tmp_path / "b.xml").write_text(HEAD + "</mediawiki>")
    assert [one.rule for one in read(tmp_path / "b.xml") if isinstance(one, Dropped)] == ["no-document"]
