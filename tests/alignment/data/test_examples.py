"""Users' files become examples token for token, and a row that can't teach anything is an error that names it."""

import json
from pathlib import Path
from typing import Any

import pytest

import tiny
from groundup.alignment.data.examples import (
    answer_ids,
    ask,
    read_instructions,
    read_preferences,
    read_questions,
)
from groundup.errors import GroundupError

TOKENIZER = tiny.tokenizer()


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def shown(ids: list[int]) -> str:
    return TOKENIZER.decode(ids)


def test_a_question_and_its_answer() -> None:
    assert shown(ask("the?", TOKENIZER)) == "<|user|>the?<|assistant|>"
    assert shown(answer_ids("in there", TOKENIZER)) == "in there<|end|>"
    assert answer_ids("in", TOKENIZER)[-1] == TOKENIZER.end
    assert TOKENIZER.end not in ask("<|end|>", TOKENIZER)  # nobody forges the end of a turn by writing it


ROWS = [
    ({"instruction": "Add.", "input": "1 2", "output": "3"}, "<|user|>Add.\n1 2<|assistant|>", "3<|end|>"),
    ({"instruction": "Add.", "input": " ", "output": "3"}, "<|user|>Add.<|assistant|>", "3<|end|>"),
    ({"prompt": "Line\u2028break?", "answer": "a\u0085b"}, "<|user|>Line\u2028break?<|assistant|>", "a\u0085b<|end|>"),
    (
        {
            "messages": [
                {"role": "system", "content": "S"},
                {"role": "user", "content": "A"},
                {"role": "assistant", "content": "B"},
                {"role": "user", "content": "C"},
                {"role": "assistant", "content": "D"},
            ]
        },
        "<|system|>S<|user|>A<|assistant|>B<|end|><|user|>C<|assistant|>",
        "D<|end|>",
    ),
]


@pytest.mark.parametrize("form", ["lines", "list", "with a byte order mark"])
def test_instructions(form: str, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    if form == "list":
        path.write_text(json.dumps([row for row, _, _ in ROWS], indent=2), encoding="utf-8")
    else:
        lines(path, *(row for row, _, _ in ROWS))
    if form == "with a byte order mark":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    examples = read_instructions(path, TOKENIZER, 100)
    assert [(shown(one.prompt), shown(one.answer)) for one in examples] == [
        (prompt, answer) for _, prompt, answer in ROWS
    ]


def test_long_rows_are_cut_to_the_context(tmp_path: Path) -> None:
    path = lines(tmp_path / "data.jsonl", {"instruction": "q", "output": "abcdefgh"})
    prompt = len(ask("q", TOKENIZER))
    (example,) = read_instructions(path, TOKENIZER, prompt + 3)
    assert (shown(example.answer), len(example)) == ("abc", prompt + 3)
    with pytest.raises(GroundupError, match=r"data\.jsonl:1: its prompt alone .* no token of the answer"):
        read_instructions(path, TOKENIZER, prompt)


def test_preferences_and_questions(tmp_path: Path) -> None:
    row = {"instruction": "Q", "input": "I", "chosen": "good", "rejected": "bad", "answer": "good"}
    path = lines(tmp_path / "data.jsonl", row)
    assert read_preferences(path) == [("Q\nI", "good", "bad")]
    assert read_questions(path) == [("Q\nI", "good")]


user, assistant = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
BAD_ROWS = [
    [1],
    "text",
    {"output": "A"},
    {"instruction": "Q"},
    {"instruction": "Q", "output": " "},
    {"instruction": "Q", "output": 3},
    {"messages": []},
    {"messages": None},
    {"messages": "text"},
    {"messages": ["text"]},
    {"messages": [user]},
    {"messages": [user, {"role": "assistant"}]},
    {"messages": [user, {"role": "assistant", "content": None}]},
    {"messages": [{"role": "robot", "content": "Q"}, assistant]},
    {"messages": [{"content": "Q"}, assistant]},
    {"messages": [user, {"role": "system", "content": "late"}, user, assistant]},
]


@pytest.mark.parametrize("row", BAD_ROWS, ids=json.dumps)
def test_a_bad_row_is_named(row: Any, tmp_path: Path) -> None:
    path = lines(tmp_path / "data.jsonl", {"instruction": "Q", "output": "A"}, row)
    with pytest.raises(GroundupError) as error:
        read_instructions(path, TOKENIZER, 100)
    assert f"{path}:2" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "holds no row"),
        (b" \n\n", "holds no row"),
        (b"[]", "holds no row"),
        (b'{"instruction": "Q", "output": "A"}\n{"instr', ":2: is no JSON"),
        (b'[{"instruction": "Q"', "is no JSON"),
        (b"\xff\xfe\x00", "can't be read"),
        (None, "can't be read"),
    ],
)
def test_a_bad_file_is_named(content: bytes | None, word: str, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    if content is not None:
        path.write_bytes(content)
    for read in (read_preferences, read_questions, lambda file: read_instructions(file, TOKENIZER, 100)):
        with pytest.raises(GroundupError, match=word) as error:
            list(read(path))
        assert str(path) in str(error.value)
