"""Rows of JSON and Parquet: columns by their path, every form of a JSON file, and reasons for rows without text."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files

ROWS = [{"text": f"Row {n}, with \u00fcmlauts.", "n": n} for n in range(3)]


def read(path: Path, **options: object) -> list[Document | Dropped]:
    source = Files.model_validate({"kind": "files", "path": path, **options})
    return [one for piece in pieces(source, "src", path.parent) for one in read_piece(piece, source, 1.0)]


def verdicts(found: list[Document | Dropped]) -> list[tuple[str, str]]:
    """`(origin, text)` of a document, `(origin, rule)` of another."""
    return [(one.origin, one.text if isinstance(one, Document) else one.rule) for one in found]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("start", ["", "\ufeff", " \n" * 100_000])
def test_an_array(tmp_path: Path, indent: int | None, start: str) -> None:
    (tmp_path / "a.json").write_text(start + json.dumps(ROWS, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert verdicts(read(tmp_path)) == [(f"a.json:{n + 1}", row["text"]) for n, row in enumerate(ROWS)]


def test_an_array_of_any_length_is_read_as_it_comes(tmp_path: Path) -> None:
    """5 MB, of which no more than a row may be as large as 1 MB."""
    rows = [{"text": "word " * 100 + str(n)} for n in range(10_000)] + [{"text": "x" * 1_500_000}, {"text": "last"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    found = read(tmp_path)
    assert [one.text for one in found[:-1] if isinstance(one, Document)] == [row["text"] for row in rows[:10_000]]
    assert [one.rule for one in found if isinstance(one, Dropped)] == ["too-large"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(ROWS[0], indent=1), [("a.json", ROWS[0]["text"])]),
        (json.dumps(ROWS[0]), [("a.json", ROWS[0]["text"])]),
        ("".join(json.dumps(row) + "\n" for row in ROWS[:2]), [(f"a.json:{n + 1}", ROWS[n]["text"]) for n in range(2)]),
        (json.dumps({"name": "x", "scripts": {"build": "tsc"}}, indent=1), [("a.json", "no-text")]),
        ('{"text": "x"} {"text": "y"}', [("a.json:1", "x"), ("a.json:2", "y")]),
        ('{"text": "x"}{"text": "y"} 3 4', [("a.json:1", "x"), ("a.json:2", "y"), ("a.json", "bad-json")]),
        ('{\n"text": "x"}\n{\n"text": "y"}', [("a.json:1", "x"), ("a.json:2", "y")]),
        ('{\n"text": "x"}\nand more', [("a.json:1", "x"), ("a.json", "bad-json")]),
        ('[{"text": "x"}, 3, {"text": "y"}]', [("a.json:1", "x"), ("a.json:2", "bad-json"), ("a.json:3", "y")]),
        ('[{"text": "x"}, {"text": ', [("a.json:1", "x"), ("a.json", "bad-json")]),
        ("[]", [("a.json", "no-document")]),
        ("[" * 100_000, [("a.json", "bad-json")]),
        ("hello", [("a.json", "bad-json")]),
        ("", [("a.json", "bad-json")]),
    ],
)
def test_one_object_lines_of_objects_and_no_json(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    """One file never gives a reason for each of its lines."""
    (tmp_path / "a.json").write_text(text)
    assert verdicts(read(tmp_path)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(ROWS[0], indent=1), [("a.jsonl", ROWS[0]["text"])]),
        (json.dumps(ROWS, indent=1), [(f"a.jsonl:{n + 1}", row["text"]) for n, row in enumerate(ROWS)]),
        (
            "\n".join(json.dumps(row, indent=1) for row in ROWS[:2]),
            [(f"a.jsonl:{n + 1}", ROWS[n]["text"]) for n in (0, 1)],
        ),
        (json.dumps({"text": "long " * 50_000}, indent=1), [("a.jsonl", ("long " * 50_000).strip())]),
        (json.dumps({"text": "\u4e2d" * 50_000}, indent=1), [("a.jsonl", "\u4e2d" * 50_000)]),
        (json.dumps({"name": "x", "scripts": {"build": "tsc"}}, indent=1), [("a.jsonl", "no-text")]),
        ('{\n "text": "x",\n "title": "y",\n', [("a.jsonl", "bad-json")]),
        # What is no value over several lines is read line by line, and a damaged line costs itself.
        (
            '{"text": "x", "n":\n{"text": "y"}\n{"text": "z"}\n',
            [("a.jsonl:1", "bad-json"), ("a.jsonl:2", "y"), ("a.jsonl:3", "z")],
        ),
        ('{"text": "x\n{"text": "y"}\n', [("a.jsonl:1", "bad-json"), ("a.jsonl:2", "y")]),
        ("{\n{\n", [("a.jsonl:1", "bad-json"), ("a.jsonl:2", "bad-json")]),
    ],
)
def test_a_value_over_several_lines(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    """A file of one object is one document, or one reason, whatever its name."""
    (tmp_path / "a.jsonl").write_text(text)
    assert verdicts(read(tmp_path)) == expected


def test_a_large_value_over_several_lines_is_one_piece(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps([{"text": f"Row {n}."} for n in range(999)], indent=1))
    source = Files.model_validate({"kind": "files", "path": tmp_path})
    (piece,) = pieces(source, "src", tmp_path, 1000)
    found = list(read_piece(piece, source))
    assert verdicts(found)[-1] == ("a.jsonl:999", "Row 998.") and len(found) == 999


def test_several_objects_in_a_line(tmp_path: Path) -> None:
    lines = ['{"text": "x"}{"text": "} {"} {"text": "caf\u00e9"}', '{"text": "y"}', '{"text": "z"}{"text": ', "{}{}"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8-sig")
    found = read(tmp_path)
    assert verdicts(found) == [
        *(("a.jsonl:1.1", "x"), ("a.jsonl:1.2", "} {"), ("a.jsonl:1.3", "caf\u00e9")),
        *(("a.jsonl:2", "y"), ("a.jsonl:3.1", "z"), ("a.jsonl:3.2", "bad-json")),
        *(("a.jsonl:4.1", "no-text"), ("a.jsonl:4.2", "no-text")),
    ]
    data = (tmp_path / "a.jsonl").read_bytes()
    assert data[found[1].offset :].startswith(b'{"text": "} {"}')
    assert data[found[5].offset :] == b'{"text": \n{}{}'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf16_and_utf32(tmp_path: Path, encoding: str, mark: str) -> None:
    """Lines and values are found in what they say, not in their bytes: \u0a0a has two that are newlines in UTF-8."""
    texts = ["One \u0a0a \u4e0d.", "Two.", "Three \U0001f600."]
    rows = [json.dumps({"text": one}, ensure_ascii=False) for one in texts]
    for name, text in (("a.json", f"[{', '.join(rows)}]"), ("b.jsonl", "\n".join(rows)), ("c.txt", "\n".join(texts))):
        (tmp_path / name).write_bytes((mark + text).encode(encoding))
    (tmp_path / "d.csv").write_bytes((mark + "n,text\n" + "".join(f"1,{one}\n" for one in texts)).encode(encoding))
    source = Files.model_validate({"kind": "files", "path": tmp_path, "documents": "line"})
    found = [one for piece in pieces(source, "src", tmp_path, 8) for one in read_piece(piece, source)]
    assert verdicts(found) == [
        (f"{name}:{n + 1}", one) for name in ("a.json", "b.jsonl", "c.txt", "d.csv") for n, one in enumerate(texts)
    ]
    assert {one.offset for one in found} == {-1}


def test_fields_by_their_path(tmp_path: Path) -> None:
    rows = [{"message": {"content": "Nested.", "by": {"name": "A title"}}, "a.b": "Dotted."}]
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    for found in read(tmp_path, text="message.content", title="message.by.name"):
        assert isinstance(found, Document)
        assert (found.text, found.title) == ("Nested.", "A title")
    assert [one.text for one in read(tmp_path, text="a.b") if isinstance(one, Document)] == ["Dotted."] * 2


def test_binary_columns_are_utf8(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": pa.array(["caf\u00e9".encode(), b"caf\xe9"], pa.binary())}), tmp_path / "a.parquet"
    )
    assert verdicts(read(tmp_path)) == [("a.parquet:1", "caf\u00e9"), ("a.parquet:2", "invalid-utf-8")]


def test_rows_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    rows = ['{"text": "Fine.", "title": 3, "url": ["x"]}', '{"body": "x"}', '{"text": null}', '{"text": [1]}', "{", "7"]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    fine, *others = read(tmp_path)
    assert isinstance(fine, Document) and fine.note == "url is no text, title is no text"
    assert [(one.rule, one.is_row, one.excerpt) for one in others if isinstance(one, Dropped)] == [
        ("no-text", True, "there is no column 'text'; the columns are body"),
        ("no-text", False, "the column text is empty"),
        ("no-text", True, "the column text holds a list, no text"),
        ("bad-json", True, "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("bad-json", True, "a int, not an object"),
    ]


def test_a_table_without_the_column_is_one_reason(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x", "y"]}), tmp_path / "a.parquet")
    (one,) = read(tmp_path)
    assert isinstance(one, Dropped)
    assert (one.rule, one.excerpt) == ("no-text", "there is no column 'text'; the columns are body")


def test_an_array_of_anything_else_is_one_reason(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([f"word {n}" for n in range(5000)]))
    (one,) = read(tmp_path)
    assert isinstance(one, Dropped)
    assert (one.origin, one.rule, one.excerpt) == ("a.json", "bad-json", "an array of str, not of objects")


def test_json_without_a_known_suffix_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "map.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}, indent=2))
    assert verdicts(read(tmp_path)) == [("map.geojson", "no-text")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_other_countries(tmp_path: Path, delimiter: str) -> None:
    """Where a comma is in numbers, spreadsheets write a semicolon."""
    said = "Es sind 3,5; das ist wenig."
    (tmp_path / "a.csv").write_text(f'title{delimiter}text\nT{delimiter}"{said}"\n')
    assert verdicts(read(tmp_path)) == [("a.csv:1", said)]


def test_a_table_of_one_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sentence\nOne; and more.\n")
    assert verdicts(read(tmp_path)) == [("a.csv:1", "One; and more.")]
