"""Files good and bad: every document is read or listed with the rule it broke, and no bad file stops the others."""

import gzip
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources import pieces, read_piece, source_names
from groundup.corpus.sources.configuration import Files
from groundup.corpus.sources.walk import locate, walk
from groundup.errors import GroundupError

PAGE = """<html><head><title>My page</title></head><body><nav><a href="x">Home</a></nav><article><h1>Cats</h1>
<p>Cats are small. They purr a lot and sleep for the whole of the day, mostly.</p><h2>Food</h2>
<p>Cats eat fish and mice, e.g. small ones. They do not eat grass, not even when they are very hungry.</p>
</article></body></html>"""


def read(root: Path, max_bytes: int = 8_000_000, **options: object) -> tuple[dict[str, Document], dict[str, Dropped]]:
    source = Files.model_validate({"kind": "files", "path": root, **options})
    found = [one for piece in pieces(source, "src", root) for one in read_piece(piece, source, max_bytes / 1e6)]
    documents = {one.origin: one for one in found if isinstance(one, Document)}
    dropped = {one.origin: one for one in found if isinstance(one, Dropped)}
    assert len(documents) + len(dropped) == len(found)
    return documents, dropped


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def test_every_kind_plain_and_compressed(tmp_path: Path) -> None:
    rows = b'{"text": "First row.", "title": "One"}\n\n{"text": "Second row.", "title": 7}\n'
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["In a table.", None], "title": ["T", "U"], "n": [1, 2]}), table)
    kinds = {"a.txt": b"Plain. Text.", "b.MD": b"# Head\n\nBody.", "c.html": PAGE.encode(), "d.jsonl": rows}
    kinds["e.parquet"] = table.getvalue()
    packed: dict[str, Callable[[bytes], bytes]] = {"": lambda data: data, ".gz": gzip.compress, ".zst": zst}
    for suffix, pack in packed.items():
        for name, data in kinds.items():
            (tmp_path / f"{name}{suffix}").write_bytes(pack(data))
    documents, dropped = read(tmp_path, licence="CC0-1.0")
    for suffix in packed:
        assert documents[f"a.txt{suffix}"].text == "Plain. Text."
        assert documents[f"b.MD{suffix}"].title == "Head"
        page = documents[f"c.html{suffix}"]
        assert page.title == "My page"
        assert page.text.startswith("# Cats\n\nCats are small.")
        assert documents[f"d.jsonl{suffix}:1"].title == "One"
        assert documents[f"d.jsonl{suffix}:3"].title == ""
        assert documents[f"e.parquet{suffix}:1"].text == "In a table."
        assert dropped[f"e.parquet{suffix}:2"].rule == "no-text"
    assert len(documents) == 18
    one = documents["a.txt"]
    assert (one.source, one.licence) == ("src", "CC0-1.0")


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("x.txt", b"a\0b", "binary"),
        ("x.txt", b"", "no-text"),
        ("x.txt", b" \n\t ", "no-text"),
        ("x.txt", b"a" * 2000, "too-large"),
        ("x.txt.gz", gzip.compress(bytes(range(97, 123)) * 30, mtime=0)[:-9], "truncated"),
        ("x.txt.gz", gzip.compress(b"some text", mtime=0)[:5], "truncated"),
        ("x.txt.gz", b"not gzip at all", "corrupt"),
        ("x.txt.gz", gzip.compress(b"some text", mtime=0) + b"trailing", "corrupt"),
        ("x.txt.gz", gzip.compress(b"\0" * 50_000_000, mtime=0), "too-large"),
        ("x.txt.zst", zst(b"some text, and some more of it")[:-3], "truncated"),
        ("x.txt.zst", b"not zstandard", "corrupt"),
        ("x.txt.zst", zst(b"a" * 50_000_000), "too-large"),
        ("x.html", b"<html><body></body></html>", "no-text"),
        ("x.html", b"", "no-text"),
        ("x.parquet", b"PAR1 and then nothing", "corrupt"),
        ("x.parquet", b"", "corrupt"),
        ("x.parquet.gz", b"", "corrupt"),
        ("x.png", b"\x89PNG", "unsupported-type"),
        ("x", b"\x01\x02\x03", "unsupported-type"),
    ],
)
def test_bad_files_are_listed_and_the_good_one_is_read(tmp_path: Path, name: str, data: bytes, rule: str) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.txt").write_text("A good file.")
    documents, dropped = read(tmp_path, max_bytes=1000)
    assert list(documents) == ["good.txt"]
    assert {origin: one.rule for origin, one in dropped.items()} == {name: rule}


def test_bad_lines_are_listed_and_the_good_ones_are_read(tmp_path: Path) -> None:
    lines = [
        b'{"text": "good"}',
        b"{not json}",
        b'["a list"]',
        b'{"text": "caf\xe9"}',
        b'{"text": "nul\0"}',
        b'{"text": null}',
        b'{"text": "' + b"x" * 2000 + b'"}',
        b"[" * 900,
        b'{"text": "half a \\ud83d character"}',
        b'{"text": "last"}',
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\r\n".join(lines))
    documents, dropped = read(tmp_path, max_bytes=1000)
    assert [one.text for one in documents.values()] == ["good", "half a \ufffd character", "last"]
    assert {int(origin.split(":")[1]): one.rule for origin, one in dropped.items()} == {
        2: "bad-json",
        3: "bad-json",
        4: "invalid-utf-8",
        5: "binary",
        6: "no-text",
        7: "too-large",
        8: "bad-json",
    }
    assert dropped["rows.jsonl:7"].value == 2013  # the carriage return is counted in
    assert dropped["rows.jsonl:7"].threshold == 1000


def test_lines_before_a_break_in_a_compressed_file_are_read(tmp_path: Path) -> None:
    random = os.urandom(150_000).hex()
    rows = b"".join(
        json.dumps({"text": f"row {n} {random[n * 2000 : n * 2000 + 2000]}"}).encode() + b"\n" for n in range(150)
    )
    for suffix, data in ((".gz", gzip.compress(rows, mtime=0)), (".zst", zst(rows))):
        (tmp_path / f"rows.jsonl{suffix}").write_bytes(data[: len(data) // 2])
    documents, dropped = read(tmp_path)
    assert {one.rule for one in dropped.values()} == {"truncated"}
    assert len(dropped) == 2
    assert len([origin for origin in documents if ".gz" in origin]) > 20


def test_a_line_of_a_hundred_megabytes_is_never_held(tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("wb") as file:
        file.write(b'{"text": "before"}\n{"text": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"text": "after"}\n')
    tracemalloc.start()
    documents, dropped = read(tmp_path, max_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.text for one in documents.values()] == ["before", "after"]
    assert {origin: one.rule for origin, one in dropped.items()} == {"rows.jsonl:2": "too-large"}
    assert peak < 8_000_000


def test_the_walk_is_sorted_and_skips_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/two.txt", "b/.hidden.txt", "a.txt", ".git/x.txt", "b/one.txt", "c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("Text.")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    (tmp_path / "broken.txt").symlink_to(tmp_path / "nowhere")
    found = [(file.relative, file.skipped) for file in walk(tmp_path)]
    assert found == [
        ("a.txt", ""),
        ("broken.txt", ""),
        ("c.png", "unsupported-type"),
        ("link", "linked-folder"),
        ("pipe.txt", "not-a-file"),
        ("b/one.txt", ""),
        ("b/two.txt", ""),
    ]
    assert read(tmp_path)[1]["broken.txt"].rule == "unreadable"
    assert list(read(tmp_path / "a.txt")[0]) == ["a.txt"]


def test_links_that_leave_the_source(tmp_path: Path) -> None:
    """Are listed, and read where that is asked for; those within are read. Folders are read once, loops included."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside / "b", outside / "deep"):
        folder.mkdir(parents=True)
    (inside / "a.txt").write_text("Inside.")
    (outside / "secret.txt").write_text("Outside.")
    (outside / "deep" / "c.txt").write_text("Deep.")
    for name, target in {
        "linked.txt": outside / "secret.txt", "within.txt": inside / "a.txt", "chain.txt": inside / "linked.txt",
        "folder": outside / "deep", "again": outside / "deep", "b/loop": inside,
    }.items():  # fmt: skip
        (inside / name).symlink_to(target)
    documents, dropped = read(inside)
    assert sorted(documents) == ["a.txt", "within.txt"]
    assert {origin: one.rule for origin, one in dropped.items()} == {
        "linked.txt": "outside-link", "chain.txt": "outside-link", "folder": "linked-folder", "again": "linked-folder",
        "b/loop": "linked-folder",
    }  # fmt: skip
    assert sorted(read(inside / "*.txt")[0]) == ["a.txt", "within.txt"]
    assert {file.skipped for file in walk(inside / "*" / "c.txt")} == {"outside-link"}
    documents, dropped = read(inside, follow_links=True)
    assert sorted(documents) == ["a.txt", "again/c.txt", "chain.txt", "linked.txt", "within.txt"]
    assert {origin: one.rule for origin, one in dropped.items()} == {
        "folder": "linked-folder", "b/loop": "linked-folder",
    }  # fmt: skip
    assert sorted(read(inside / "*.txt", follow_links=True)[0]) == ["a.txt", "chain.txt", "linked.txt", "within.txt"]
    assert list(read(inside / "linked.txt")[0]) == ["linked.txt"]  # which the blueprint names itself
    (tmp_path / "link").symlink_to(inside)
    assert sorted(read(tmp_path / "link")[0]) == ["a.txt", "within.txt"]


def test_a_source_of_links_alone_says_how_to_read_it(tmp_path: Path) -> None:
    """As a folder of the Hugging Face cache is."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1").write_text("Text.")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "a.txt").symlink_to(tmp_path / "blobs" / "1")
    with pytest.raises(GroundupError, match=r"nothing to read here: 1 files.*`follow_links: true`"):
        read(tmp_path / "snapshot")


def test_other_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"body": "Said here.", "head": "H"}\n')
    documents, _ = read(tmp_path, text="body", title="head")
    assert [(one.text, one.title) for one in documents.values()] == [("Said here.", "H")]


def test_front_matter_gives_the_title(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text('---\ntitle: "The page"\nlayout: x\n---\n\nBody text. More.\n')
    (one,) = read(tmp_path)[0].values()
    assert (one.title, one.text) == ("The page", "# The page\n\nBody text. More.")


def test_mistakes_about_the_whole_source_are_errors(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"missing: no such file or folder; correct the path"):
        locate(Path("missing"), tmp_path)
    with pytest.raises(GroundupError, match=r"nothing to read here: no file; give files of"):
        read(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(GroundupError, match=r"1 files, of the types \.png \(1\)"):
        read(tmp_path)


def test_brackets_of_folders_that_exist_are_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "[2024] notes" / "docs"
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("Text.")
    (folder / "b.txt").write_text("Text.")
    assert list(read(folder / "*.md")[0]) == ["a.md"]
    assert list(read(tmp_path / "[2024] notes" / "*" / "[ab].txt")[0]) == ["docs/b.txt"]


def test_columns_of_a_row(tmp_path: Path) -> None:
    row = {"text": "Said.", "url": "https://x.org", "license": "MIT", "key": 7}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"text": "Said too.", "url": 5}) + "\n")
    first, second = read(tmp_path, id="key", licence="CC0-1.0")[0].values()
    assert (first.origin, first.offset, first.url, first.licence) == ("rows.jsonl:1#7", 0, "https://x.org", "MIT")
    assert (second.origin, second.url, second.licence) == ("rows.jsonl:2", "", "CC0-1.0")


def test_patterns_and_names(tmp_path: Path) -> None:
    for name in ("a/x.txt", "a/y.md", "b/z.txt", ".h/x.txt", "b/page"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(
            "<html><body><p>Text of a page.</p></body></html>" if name == "b/page" else "Text."
        )
    assert list(read(tmp_path / "**" / "*.txt")[0]) == ["a/x.txt", "b/z.txt"]
    assert list(read(tmp_path / "b" / "p*", extraction={"method": "resiliparse"})[0]) == ["page"]  # by how it begins
    with pytest.raises(GroundupError, match=r"nothing to read here: no file"):
        read(tmp_path / "*.nothing")
    with pytest.raises(GroundupError, match=r"a\*\*b: is no pattern"):
        read(tmp_path / "a**b")
    source = Files(kind="files", path=tmp_path, name="mine")
    assert source_names([source, source, Files(kind="files", path=tmp_path / "a")], tmp_path) == ["mine", "mine-2", "a"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "a.txt").write_text("Text.")
    with (folder / os.fsdecode(b"\xff.parquet")).open("wb") as file:
        pq.write_table(pa.table({"text": ["In a table."]}), file)
    assert {origin: one.text for origin, one in read(tmp_path)[0].items()} == {
        "caf\ufffd/a.txt": "Text.",
        "caf\ufffd/\ufffd.parquet:1": "In a table.",
    }
