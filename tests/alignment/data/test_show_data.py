"""What `groundup data show` prints: every token, with the trained ones marked, and what was counted."""

import json
from pathlib import Path

from typer.testing import CliRunner

import tiny
from groundup.alignment.data.show import purpose_of, show_file
from groundup.cli.main import app

TOKENIZER = tiny.tokenizer()


def test_trained_tokens_are_marked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    messages = [{"role": role, "content": text} for role, text in (("user", "Q\x1b"), ("assistant", "größe"))]
    path.write_text(json.dumps({"messages": [*messages, {"role": "user", "content": "R"}, messages[1]]}) + "\n")
    head, row, _, summary, counted = show_file(path, purpose_of(path), TOKENIZER, 1, context=4)
    marked = "<|user|>Q<|assistant|>[[größe<|end|>]]<|user|>R<|assistant|>[[größe<|end|>]]"
    assert row.plain == marked  # the control character is gone
    styles = {row.plain[span.start : span.end]: span.style for span in row.spans}
    assert "green" in str(styles["<|end|>"]) and "green" not in str(styles["<|user|>"])
    assert head.plain.startswith(f"{path}:1: ") and summary.plain == "rows.jsonl: 1 rows of JSON lines, messages (1)"
    assert counted.plain.endswith("1 longer than the context of 4")
    last = list(show_file(path, "sft", TOKENIZER, 1, turns="last"))[1]
    assert last.plain.count("[[") == 1 and last.plain.endswith("[[größe<|end|>]]")


def test_the_verb_shows_both_sides_of_a_pair(tmp_path: Path) -> None:
    rows = [{"prompt": "Q", "chosen": "A", "rejected": "B"}, {"prompt": "Q", "chosen": "A", "rejected": "A"}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    TOKENIZER.save(tmp_path / "tokenizer.json")
    command = ["data", "show", str(tmp_path / "pairs.jsonl"), "--tokenizer", str(tmp_path / "tokenizer.json")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "<|assistant|>[[A<|end|>]]" in result.output and "<|assistant|>[[B<|end|>]]" in result.output
    assert "1 identical pairs" in result.output
