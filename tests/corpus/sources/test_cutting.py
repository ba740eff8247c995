"""However a big file is cut, its pieces read one after the other give the same documents, each exactly once."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files
from made.prose import documents


def read(path: Path, piece_bytes: int, **options: object) -> tuple[int, list[dict[str, object]]]:
    source = Files.model_validate({"kind": "files", "path": path, **options})
    found = pieces(source, "src", path.parent, piece_bytes)
    assert [(piece.relative, piece.start) for piece in found] == sorted((one.relative, one.start) for one in found)
    return len(found), [asdict(one) for piece in found for one in read_piece(piece, source)]


LINES = st.lists(st.sampled_from(["a", "bb", "", "   ", "ccc" * 30, "é" * 5]), max_size=30)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.integers(1, 200), st.booleans())
def test_lines(tmp_path: Path, lines: list[str], piece_bytes: int, newline: bool) -> None:
    assume(any(line.strip() for line in lines))
    rows = [json.dumps({"text": line}) if line.strip() else line for line in lines]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(rows) + ("\n" if newline and rows else ""))
    count, found = read(path, piece_bytes)
    assert found == read(path, 1 << 30)[1]
    assert [one["origin"] for one in found] == [f"rows.jsonl:{at}" for at, line in enumerate(lines, 1) if line.strip()]
    data = path.read_bytes()
    for one in found:
        assert json.loads(data[one["offset"] :].split(b"\n")[0])["text"].strip() == one["text"]  # type: ignore[misc]
    assert count <= max(1, len(data) // piece_bytes + 1)


def test_lines_of_text(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"This is line {n}.\n" for n in range(1000)))
    count, found = read(path, 1000, documents="line")
    assert count > 10
    assert [one["text"] for one in found] == [f"This is line {n}." for n in range(1000)]
    assert found == read(path, 1 << 30, documents="line")[1]


def test_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table(
        {"text": [f"Row {n}, {'x' * n}." for n in range(500)], "url": [f"https://x/{n}" for n in range(500)]}
    )
    pq.write_table(table, path, row_group_size=20, compression="none")
    count, found = read(path, 5000)
    assert 5 < count < 25
    assert found == read(path, 1 << 30)[1]
    assert [(one["origin"], one["offset"], one["url"]) for one in found] == [
        (f"rows.parquet:{n + 1}", n, f"https://x/{n}") for n in range(500)
    ]


def test_members_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(50):
            archive.writestr(f"{n:02}.txt", f"Text {n}. " * 50)
    count, found = read(path, 4000)
    assert count > 4
    assert found == read(path, 1 << 30)[1]
    assert [one["origin"] for one in found] == [f"all.zip/{n:02}.txt" for n in range(50)]


def test_articles(tmp_path: Path) -> None:
    path = tmp_path / "wiki_00"
    articles = [
        f'<doc id="{n}" url="https://w/{n}" title="T{n}">\nT{n}\n\n{text}\n\n</doc>\n'
        for n, text in enumerate(documents(200))
    ]
    path.write_text("".join(articles))
    count, found = read(path, 10_000)
    assert count > 10
    assert found == read(path, 1 << 30)[1]
    assert [one["origin"] for one in found] == [f"wiki_00#{n}" for n in range(200)]
    data = path.read_bytes()
    assert all(data[one["offset"] :].startswith(f'<doc id="{n}"'.encode()) for n, one in enumerate(found))  # type: ignore[misc]
