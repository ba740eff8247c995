"""The parts hold what was written, in its order, and say so in equal bytes."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from groundup.corpus.documents import (
    Document,
    Fact,
    document_id,
    part_path,
    read_documents,
    write_documents,
)
from groundup.errors import GroundupError

MANY = [
    Document(
        document_id(f"text {n}"),
        f"text {n}",
        f"title {n}",
        "src",
        f"o{n}",
        "MIT",
        "heldout" if n % 10 == 0 else "train",
        (Fact(f"s{n}", "summary", "é"),) * (n % 3),
        f"https://example.org/{n}",
        n,
        "en",
        None if n % 2 else 0.5,
    )
    for n in range(10_000)
]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "d"
    write_documents(path, iter(MANY))
    assert list(read_documents(path)) == MANY
    assert list(read_documents(path, "heldout")) == MANY[::10]
    some = list(read_documents(path, "heldout", ["id", "text"]))
    assert [(one.id, one.text, one.title, one.facts) for one in some[:2]] == [
        (document_id("text 0"), "text 0", "", ()),
        (document_id("text 10"), "text 10", "", ()),
    ]
    again = tmp_path / "again"
    write_documents(again, MANY)
    assert part_path(again, 0).read_bytes() == part_path(path, 0).read_bytes()


def test_parts_are_read_in_their_order(tmp_path: Path) -> None:
    for part in (1, 10, 0):
        write_documents(tmp_path, [Document(id=str(part))], part)
    assert [one.id for one in read_documents(tmp_path, columns=["id"])] == ["0", "1", "10"]


def test_row_groups_are_bounded_by_rows_and_bytes_and_a_part_appears_whole(tmp_path: Path) -> None:
    large = [Document(id=str(n), text=f"{n} " * 1_000_000) for n in range(12)]
    write_documents(tmp_path / "large", large)
    file = pq.ParquetFile(part_path(tmp_path / "large", 0))
    assert file.metadata.num_row_groups >= 2
    write_documents(tmp_path / "many", MANY)
    with pytest.raises(ZeroDivisionError):
        write_documents(tmp_path / "none", (Document(id=str(1 // (n - 3))) for n in range(9)))
    assert not list((tmp_path / "none").iterdir())


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"holds no documents"):
        list(read_documents(tmp_path))
    part_path(tmp_path, 0).write_bytes(b"PAR1")
    with pytest.raises(GroundupError, match=r"can't be read .* run the curate stage again"):
        list(read_documents(tmp_path))
