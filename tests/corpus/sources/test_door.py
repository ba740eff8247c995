"""Files that take all time or memory, or end a library's process, cost themselves; what is around them is read."""

import json
import os
import signal
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files
from groundup.corpus.sources.door import _idle

SLOW = ":ref:`x` and more of `it <y>`_\n\n" * 100_000  # a second of work


def read(path: Path, **extraction: object) -> list[Document | Dropped]:
    source = Files.model_validate({"kind": "files", "path": path, "extraction": extraction})
    return [one for piece in pieces(source, "src", path.parent) for one in read_piece(piece, source)]


def verdicts(found: list[Document | Dropped]) -> dict[str, str]:
    """`origin -> text`, or the rule."""
    return {one.origin: one.text if isinstance(one, Document) else one.rule for one in found}


def archive(path: Path, *members: tuple[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members:
            file.writestr(name, text)


def test_a_document_that_takes_too_long_costs_itself(tmp_path: Path) -> None:
    archive(
        tmp_path / "a.zip",
        ("a.md", "First."),
        ("b.rst", SLOW),
        ("c.md", "Second."),
        ("d.rst", SLOW),
        ("e.md", "Third."),
    )
    found = read(tmp_path, seconds=0.15)
    assert verdicts(found) == {
        "a.zip/a.md": "First.",
        "a.zip/b.rst": "reading-timeout",
        "a.zip/c.md": "Second.",
        "a.zip/d.rst": "reading-timeout",
        "a.zip/e.md": "Third.",
    }


def test_what_was_read_before_a_file_ends_its_reader_is_kept(tmp_path: Path) -> None:
    """Between documents there is none to blame: here a line of two million objects that are to be counted."""
    rows = "".join(json.dumps({"text": f"Row {n}."}) + "\n" for n in range(10))
    (tmp_path / "a.jsonl").write_text(rows + "{}" * 2_000_000 + "\n" + rows)
    found = read(tmp_path, seconds=0.15)
    assert [one.text for one in found[:-1] if isinstance(one, Document)] == [f"Row {n}." for n in range(10)]
    assert isinstance(found[-1], Dropped) and found[-1].rule == "reading-timeout"


def test_many_documents_are_sent_together_and_each_is_as_it_was(tmp_path: Path) -> None:
    texts = [f"Row {n}, \u00e9\u4e2d\U0001f600." * (1 + n % 40) for n in range(3000)]
    rows = [json.dumps({"text": text, "title": f"T{n}", "url": f"http://x.org/{n}"}) for n, text in enumerate(texts)]
    rows[7] = rows[1500] = "{"
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    source = Files(kind="files", path=tmp_path, url="url", licence="CC0-1.0")
    (piece,) = pieces(source, "src", tmp_path)
    found = list(read_piece(piece, source))
    for n, one in enumerate(found):
        assert (one.origin, one.source, one.licence) == (f"a.jsonl:{n + 1}", "src", "CC0-1.0")
        if n in (7, 1500):
            assert isinstance(one, Dropped) and one.rule == "bad-json" and one.is_row
        else:
            assert isinstance(one, Document)
            assert (one.text, one.title, one.url) == (texts[n], f"T{n}", f"http://x.org/{n}")
    assert len(found) == 3000


def test_a_row_that_takes_too_much_memory_costs_itself(tmp_path: Path) -> None:
    """Three million empty lists in 9 MB of JSON."""
    huge = '{"text": "x", "a": [' + "[{}]," * 1_500_000 + "0]}"
    (tmp_path / "a.jsonl").write_text("\n".join(['{"text": "First."}', huge, '{"text": "Second."}']))
    found = read(tmp_path, memory_mb=256)
    assert verdicts(found) == {"a.jsonl:1": "First.", "a.jsonl:2": "reading-memory", "a.jsonl:3": "Second."}


def test_a_column_that_grows_without_end_is_stopped(tmp_path: Path) -> None:
    """80 GB in a file of some kilobytes: a dictionary of one word, 8,000 times; the files around it are read."""
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 8000, pa.int32()), pa.array(["x" * 10_000_000]))
    pq.write_table(pa.table({"text": words}), tmp_path / "b.parquet", compression="zstd")
    assert (tmp_path / "b.parquet").stat().st_size < 20_000
    for name in "ac":
        (tmp_path / f"{name}.txt").write_text(name)
    started = time.monotonic()
    found = read(tmp_path)
    assert found[-2].rule == "unpacks-too-large" if isinstance(found[-2], Dropped) else False
    assert (found[0].origin, found[-1].origin) == ("a.txt", "c.txt")
    assert len(found) < 400
    assert time.monotonic() - started < 60


def test_whatever_a_reader_raises_is_a_reason(tmp_path: Path) -> None:
    """A zip member without a name, an ARC header with an endless length, nested JSON, broken office files."""
    archive(tmp_path / "a.zip", ("n.txt", "Nameless."), ("b.txt", "Named."))
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"n.txt", b"\0.txt"))
    (tmp_path / "b.arc").write_bytes(b"http://x.org/ 1.1.1.1 20200101000000 text/html " + b"9" * 5000 + b"\n")
    (tmp_path / "c.ipynb").write_text("[" * 200_000)
    (tmp_path / "d.docx").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "e.pdf").write_bytes(
        b"%PDF-1.7\n1 0 obj << /Type /Catalog /Pages 1 0 R >> endobj\ntrailer << /Root 1 0 R >>"
    )
    (tmp_path / "f.txt").write_text("Last.")
    found = verdicts(read(tmp_path))
    assert found.pop("f.txt") == "Last."
    assert found.pop("a.zip/b.txt") == "Named."
    assert set(found.values()) <= {"Nameless.", "corrupt", "bad-json", "reading-failed", "no-text"}
    assert {origin.split("/")[0] for origin in found} == {"a.zip", "b.arc:1", "c.ipynb", "d.docx", "e.pdf"}


def test_a_reader_that_is_killed_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    assert verdicts(read(tmp_path, seconds=9)) == {"a.txt": "Text."}
    (waiting,) = _idle(9.0, 1024, os.getpid())._waiting
    os.kill(waiting.process.pid, signal.SIGKILL)
    waiting.process.wait()
    assert verdicts(read(tmp_path, seconds=9)) == {"a.txt": "Text."}


@pytest.mark.parametrize("taken", [0, 1, 50])
def test_a_piece_that_is_not_read_to_its_end_disturbs_no_other(tmp_path: Path, taken: int) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"Row {n}. " * 200}) + "\n" for n in range(1000)))
    source = Files(kind="files", path=tmp_path)
    (piece,) = pieces(source, "src", tmp_path)
    some = read_piece(piece, source)
    assert [next(some).origin for _ in range(taken)] == [f"a.jsonl:{n + 1}" for n in range(taken)]
    other = read_piece(piece, source)  # at the same time
    assert len(list(other)) == 1000
    some.close()  # type: ignore[attr-defined]
    assert len(list(read_piece(piece, source))) == 1000
