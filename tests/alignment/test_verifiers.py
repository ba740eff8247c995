"""What each verifier accepts, tasks read from a file, and what is refused before anything is trained."""

import json
from pathlib import Path

import pytest

from groundup.alignment.data.data_reading import read_tasks
from groundup.alignment.data.records import task_of
from groundup.alignment.rewards.verifiers import misuse, verify
from groundup.errors import GroundupError


@pytest.mark.parametrize(
    ("verifier", "right", "answer", "expected"),
    [
        ("exact", "Paris", " paris\n", 1),
        ("exact", "Paris", "Paris.", 0),
        ("number", "7", "3 + 4 = 7.", 1),
        ("number", "She has 1,000 left. #### 1,000", "so 1000", 1),
        ("number", "7.0", "7", 1),
        ("number", "7", "7 or 8", 0),
        ("number", "-2", "it is -2", 1),
        ("number", "7", "seven", 0),
        ("regex", r"^\d{4}$", "2024", 1),
        ("regex", r"^\d{4}$", "in 2024", 0),
        ("json", "", '{"a": [1]}', 1),
        ("json", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 1),
        ("json", '{"a": 1}', '{"a": 2}', 0),
        ("json", "", "{a: 1}", 0),
    ],
)
def test_verifiers(verifier: str, right: str, answer: str, expected: float) -> None:
    assert verify(task_of("?", right, verifier), answer) == expected


@pytest.mark.parametrize(
    ("verifier", "right", "why"),
    [
        ("exakt", "a", "there is no verifier 'exakt'"),
        ("number", "seven", "needs an answer with a number"),
        ("regex", "(", "the pattern '\\(' is wrong"),
        ("json", "{", "needs an answer that is JSON"),
    ],
)
def test_what_cannot_be_verified_is_refused(verifier: str, right: str, why: str, tmp_path: Path) -> None:
    assert misuse(task_of("?", "7", "number")) is None
    path = tmp_path / "tasks.jsonl"
    rows = [{"prompt": "fine", "answer": "yes"}, {"prompt": "Q", "answer": right, "verifier": verifier}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(GroundupError, match=why) as caught:
        read_tasks(path, "exact")
    assert "tasks.jsonl:2: " in str(caught.value)


def test_rows_take_the_sections_verifier(tmp_path: Path) -> None:
    """Rows as GSM8K has them: `question` and `answer`, whose last number is the result."""
    path = tmp_path / "gsm8k.jsonl"
    path.write_text('{"question": "3 + 4?", "answer": "3 + 4 = 7\\n#### 7"}\n', encoding="utf-8")
    [(_, task)] = read_tasks(path, "number").records
    assert (task.question, task.verifier) == ("3 + 4?", "number")
    assert verify(task, "7") == 1
