"""Rows come out the same from every container, whatever the file is called; damaged files and rows are named."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from groundup.alignment.data.data_files import read_rows
from groundup.errors import GroundupError

ROWS = [{"prompt": 'Line\u2028break, "quoted"?', "answer": "Gr\u00f6\u00dfe\nzwei"}, {"prompt": "b", "answer": "c"}]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
CSV = 'prompt,answer\n"Line\u2028break, ""quoted""?","Gr\u00f6\u00dfe\nzwei"\nb,c\n'
TEXTS = {
    "JSON lines": JSONL,
    "JSON": json.dumps(ROWS, indent=2),
    "CSV": CSV,
    "TSV": CSV.replace(",answer", "\tanswer").replace('",', '"\t').replace("b,", "b\t"),
}


@pytest.mark.parametrize("container", TEXTS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_containers(container: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "data"  # no suffix: the content decides
    path.write_bytes((mark + TEXTS[container]).encode())
    found, rows = read_rows(path)
    assert (found, [row.value for row in rows]) == (container, ROWS)


def test_parquet_and_rows_inside_an_object(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([*ROWS, {"prompt": "d", "answer": None}]), tmp_path / "data")
    found, rows = read_rows(tmp_path / "data")
    assert (found, [row.value for row in rows]) == ("Parquet", [*ROWS, {"prompt": "d"}])
    assert rows[1].where.endswith("data:row 2")
    (tmp_path / "wrapped.json").write_text(json.dumps({"version": 1, "data": ROWS}, indent=1))
    assert [row.value for row in read_rows(tmp_path / "wrapped.json")[1]] == ROWS


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress])
def test_compressed(pack, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "data").write_bytes(pack(JSONL.encode()))
    assert [row.value for row in read_rows(tmp_path / "data")[1]] == ROWS


def test_a_line_that_is_no_json_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n{"a": 2}\n')
    _, rows = read_rows(path)
    assert [row.where.rpartition(":")[2] for row in rows] == ["1", "3", "4"]
    assert [type(row.value) for row in rows] == [dict, ValueError, dict]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "holds no row"),
        (b" \n\n", "holds no row"),
        (b"[]", "holds no row"),
        (b'[{"instruction": "Q"', "is no JSON"),
        (b"\xff\xfe\x00", "can't be read"),
        (b"PAR1 and nothing else", "can't be read"),
        (gzip.compress(JSONL.encode(), mtime=0)[:-9], "can't be read"),
        (b"just a text\nof two lines\n", "neither JSON nor a table"),
        (None, "can't be read"),
    ],
)
def test_a_bad_file_is_named(content: bytes | None, word: str, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GroundupError, match=word) as error:
        read_rows(path)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1
