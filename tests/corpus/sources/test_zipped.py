"""Zip archives: members are files, and a malicious archive costs little and is reported."""

import io
import stat
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def read(tmp_path: Path, data: bytes) -> tuple[dict[str, str], dict[str, Dropped]]:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    source = Files(kind="files", path=path)
    found = [one for piece in pieces(source, "src", tmp_path) for one in read_piece(piece, source, 1.0)]
    texts = {one.origin: one.text for one in found if isinstance(one, Document)}
    return texts, {one.origin: one for one in found if isinstance(one, Dropped)}


def test_members_of_every_kind(tmp_path: Path) -> None:
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["In a table."]}), table)
    members = {
        "b/guide.md": b"# Head\n\nBody.",
        "a.txt": b"Plain.",
        "rows.jsonl.gz": gzip.compress(b'{"text": "One."}\n{"text": "Two."}\n'),
        "t.parquet": table.getvalue(),
        "wiki_00": b'<doc id="3" url="u" title="T">\nT\n\nSaid.\n</doc>\n',
        "photo.jpg": b"\xff\xd8",
        "inner.zip": zipped({"x.txt": b"x"}),
        "__MACOSX/a.txt": b"fork",
        ".hidden.txt": b"hidden",
    }
    texts, dropped = read(tmp_path, zipped(members))
    assert texts == {
        "a.zip/a.txt": "Plain.",
        "a.zip/b/guide.md": "# Head\n\nBody.",
        "a.zip/rows.jsonl.gz:1": "One.",
        "a.zip/rows.jsonl.gz:2": "Two.",
        "a.zip/t.parquet:1": "In a table.",
        "a.zip/wiki_00#3": "# T\n\nSaid.",
    }
    assert {origin: one.rule for origin, one in dropped.items()} == {
        "a.zip/photo.jpg": "unsupported-type",
        "a.zip/inner.zip": "nested-archive",
    }


def test_bombs_are_stopped(tmp_path: Path) -> None:
    """A member of 300 MB, 30 members of 10 MB, and many entries for the same bytes; what comes before is read."""
    started = time.perf_counter()
    texts, dropped = read(tmp_path, zipped({"0.txt": b"First.", "1.jsonl": b"\n" * 300_000_000}))
    assert texts == {"a.zip/0.txt": "First."}
    assert {origin: one.rule for origin, one in dropped.items()} == {"a.zip/1.jsonl:67043329": "unpacks-too-large"}

    texts, dropped = read(tmp_path, zipped({f"{n:02}.jsonl": b"\n" * 10_000_000 for n in range(30)}))
    assert [one.rule for one in dropped.values()] == ["unpacks-too-large"]

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", b"\n" * 9_000_000)
        first = archive.infolist()[0]
        for n in range(50):
            again = zipfile.ZipInfo(f"b{n:02}.jsonl")
            again.header_offset, again.compress_type = first.header_offset, first.compress_type
            again.compress_size, again.file_size, again.CRC = first.compress_size, first.file_size, first.CRC
            archive.filelist.append(again)
    texts, dropped = read(tmp_path, out.getvalue())
    assert not texts
    assert {one.rule for one in dropped.values()} <= {"corrupt", "unpacks-too-large"}
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda data: data[: len(data) // 2], "corrupt"),
        (lambda data: b"", "corrupt"),
        (lambda data: b"PK" + b"\0" * 50, "corrupt"),
        (lambda data: data.replace(b"Plain text", b"Plain tEXT"), "corrupt"),
        (
            lambda data: data[:6] + b"\1" + data[7:].replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"),
            "encrypted",
        ),
        (lambda data: data.replace(struct.pack("<H", 0), struct.pack("<H", 77)), "corrupt"),
    ],
)
def test_damaged_archives_are_reported(tmp_path: Path, change: object, rule: str) -> None:
    data = zipped({"a.txt": b"Plain text, and some more."}, zipfile.ZIP_STORED)
    texts, dropped = read(tmp_path, change(data))  # type: ignore[operator]
    assert not texts
    assert [one.rule for one in dropped.values()] == [rule]


def test_links_in_an_archive_are_no_files(tmp_path: Path) -> None:
    """Their contents are the address of another file."""
    link = zipfile.ZipInfo("link.txt")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.txt", "Text.")
    source = Files.model_validate({"kind": "files", "path": tmp_path / "a.zip"})
    found = [one for piece in pieces(source, "s", tmp_path) for one in read_piece(piece, source)]
    assert [one.origin for one in found] == ["a.zip/a.txt"]


def test_a_packed_tar_that_breaks_off_loses_nothing_whole(tmp_path: Path) -> None:
    """Its members are smaller than the blocks in which it is read."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for number in range(4):
            member = tarfile.TarInfo(f"{number}.txt")
            text = b" ".join(b"%d" % (n * n * (number + 1)) for n in range(300))
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    (tmp_path / "a.tar.gz").write_bytes(data.getvalue()[: len(data.getvalue()) * 3 // 4])
    source = Files.model_validate({"kind": "files", "path": tmp_path / "a.tar.gz"})
    found = [one for piece in pieces(source, "s", tmp_path) for one in read_piece(piece, source)]
    assert [one.origin for one in found if isinstance(one, Document)][:2] == ["a.tar.gz/0.txt", "a.tar.gz/1.txt"]
    assert isinstance(found[-1], Dropped) and found[-1].rule == "truncated"
