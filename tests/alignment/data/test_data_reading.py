"""Bad rows are skipped, counted and listed; too many of them stop; what teaches nothing is counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from groundup.alignment.data.data_reading import read_comparisons, read_conversations, read_labelled, read_tasks
from groundup.errors import GroundupError


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def good(count: int) -> list[dict[str, str]]:
    return [{"instruction": f"Q{n}", "output": f"A{n}"} for n in range(count)]


def test_few_bad_rows_are_skipped_and_listed(tmp_path: Path) -> None:
    path = lines(tmp_path / "data.jsonl", *good(20)[:10], {"instruction": "Q"}, *good(20)[10:])
    file = read_conversations(path)
    assert len(file.records) == 20
    [(where, reason)] = file.skipped
    assert where == f"{path}:11" and "no text under" in reason
    assert file.summary == "data.jsonl: 21 rows of JSON lines, Alpaca (20), 1 skipped"
    assert file.figures()["skipped"] == [f"{where}: {reason}"]


def test_many_bad_rows_stop_and_the_first_ten_are_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "data.jsonl", *good(30), *[[1]] * 12)
    with pytest.raises(GroundupError) as error:
        read_conversations(path)
    text = str(error.value)
    assert "12 of 42 rows can't be used, and 5% is the limit" in text
    assert [f":{line}: is a list" in text for line in range(31, 43)] == [True] * 10 + [False] * 2
    assert len(text.splitlines()) == 1


def test_repeated_prompts_and_identical_pairs_are_counted(tmp_path: Path) -> None:
    rows = [{"prompt": q, "chosen": c, "rejected": "no"} for q, c in (("a", "yes"), ("a", "sure"), ("b", "no"))]
    file = read_comparisons(lines(tmp_path / "pairs.jsonl", *rows))
    assert (len(file.records), file.identical_pairs, file.repeated_prompts) == (2, 1, 1)
    assert file.summary.endswith("preference (3), 1 identical pairs, 1 repeated prompts")


def test_labelled_answers_are_compared_within_their_prompt(tmp_path: Path) -> None:
    answers = [("a", "1", True), ("b", "2", True), ("a", "3", False), ("a", "4", False), ("b", "5", False)]
    rows = [{"prompt": prompt, "completion": text, "label": label} for prompt, text, label in answers]
    file = read_comparisons(lines(tmp_path / "pairs.jsonl", *rows))
    assert [(one.chosen, one.rejected) for _, one in file.records] == [("1", "3"), ("1", "4"), ("2", "5")]
    with pytest.raises(GroundupError, match="no answer to its prompt is labelled bad"):
        read_comparisons(lines(tmp_path / "alone.jsonl", rows[0]))


def test_labelled_answers_need_no_others_to_their_prompt(tmp_path: Path) -> None:
    """As KTO reads them; a comparison is one of each kind, and one kind alone is refused."""
    rows = [{"prompt": "a", "completion": "1", "label": True}, {"prompt": "b", "completion": "2", "label": "bad"}]
    file = read_labelled(lines(tmp_path / "labels.jsonl", *rows, {"prompt": "c", "chosen": "3", "rejected": "4"}))
    found = [(one.prompt[0]["content"], one.answer, one.good) for _, one in file.records]
    assert found == [("a", "1", True), ("b", "2", False), ("c", "3", True), ("c", "4", False)]
    with pytest.raises(GroundupError, match="all of its answers are labelled good"):
        read_labelled(lines(tmp_path / "good.jsonl", rows[0]))


def test_ranked_lists_are_all_their_pairs(tmp_path: Path) -> None:
    """Equal answers are no pair; a list of equal ones is counted; pairs of one list share its name."""
    rows = [{"prompt": "q", "ranked": ranked} for ranked in (["a", ["b", "c"], "d"], [["a", "b"]], ["c", "a"])]
    file = read_comparisons(lines(tmp_path / "ranked.jsonl", *rows))
    found = [(one.chosen + one.rejected, one.ranking.rpartition(":")[2]) for _, one in file.records]
    assert found == [("ab", "1"), ("ac", "1"), ("ad", "1"), ("bd", "1"), ("cd", "1"), ("ca", "3")]
    assert file.all_equal == 1 and "ranked lists (3), 1 all equal" in file.summary


@pytest.mark.parametrize(
    ("ranked", "reason"),
    [
        ("a, b", "is text, not a list"),
        (["a"], "less than two answers"),
        (["a", 1], "something else than texts"),
        (["a", []], "less than two"),
        (["a", "b", []], "an empty one"),
        (["a", ["b", "a"]], "the same answer twice"),
    ],
)
def test_ranked_lists_that_are_none(tmp_path: Path, ranked: Any, reason: str) -> None:
    rows = [{"prompt": "q", "ranked": ["a", "b"]}] * 30 + [{"prompt": "q", "ranked": ranked}]
    file = read_comparisons(lines(tmp_path / "ranked.jsonl", *rows))
    assert len(file.records) == 30 and reason in file.skipped[0][1]


def test_tasks_without_an_answer(tmp_path: Path) -> None:
    path = lines(tmp_path / "tasks.jsonl", {"prompt": "Q"})
    assert [task.answer for _, task in read_tasks(path).records] == [""]
    with pytest.raises(GroundupError, match="no text under `answer`"):
        read_tasks(path, answered=True)


@pytest.mark.parametrize(
    ("name", "read", "rows", "format"),
    [
        ("sft/rasbt_instruction/instruction-data.json", read_conversations, 1100, "Alpaca"),
        ("pref/rasbt_dpo/instruction-data-with-preference.json", read_comparisons, 1100, "preference"),
    ],
)
def test_real_files(name: str, read: Any, rows: int, format: str) -> None:
    path = Path(__file__).parents[4] / "shared" / "data" / name
    if not path.is_file():
        pytest.skip("optional data is not there")
    file = read(path)
    assert len(file.rows) == rows and file.formats == {format: rows}
