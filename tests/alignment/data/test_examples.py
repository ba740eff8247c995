"""Users' conversations become examples token for token: every answer is trained, and no cut is silent."""

import json
from pathlib import Path
from typing import Any

import pytest

import tiny
from groundup.alignment.answers import collate
from groundup.alignment.data.data_reading import read_conversations
from groundup.alignment.data.examples import answer_ids, ask, encode_conversation, encode_conversations
from groundup.alignment.data.records import Conversation
from groundup.alignment.packing import pack
from groundup.errors import GroundupError

TOKENIZER = tiny.tokenizer()
TALK = Conversation(
    tuple(
        {"role": role, "content": text}
        for role, text in (
            ("system", "S"),
            ("user", "A"),
            ("assistant", "B"),
            ("user", "C"),
            ("assistant", "D"),
            ("user", "E"),
        )
    )
)


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


def test_every_answer_of_a_conversation_is_trained_or_the_last_alone() -> None:
    example = encode_conversation(TALK, TOKENIZER)
    assert shown(example.prompt) == "<|system|>S<|user|>A<|assistant|>"
    assert shown(example.answer) == "B<|end|><|user|>C<|assistant|>D<|end|>"
    trained = [token for token, kept in zip(example.answer, example.trained, strict=True) if kept]
    assert shown(trained) == "B<|end|>D<|end|>"
    last = encode_conversation(TALK, TOKENIZER, "last")
    assert shown(last.prompt) == "<|system|>S<|user|>A<|assistant|>B<|end|><|user|>C<|assistant|>"
    assert (shown(last.answer), last.mask) == ("D<|end|>", None)


def test_batches_train_the_answers_alone() -> None:
    """Padded and packed, next to an example of one turn."""
    examples = [encode_conversation(TALK, TOKENIZER), encode_conversation(TALK, TOKENIZER, "last")]
    for batch in (collate(examples, TOKENIZER.pad), pack(examples, 64, TOKENIZER.pad)):
        assert shown(batch.ids_BT[batch.answer_BT].tolist()) == "B<|end|>D<|end|>D<|end|>"
        assert sorted(batch.mask_BR.sum(1).tolist()) == [2, 4]


def test_long_rows_are_cut_skipped_or_refused(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "data.jsonl", {"instruction": "q", "output": "abcdefgh"}, {"instruction": "q", "output": "a"}
    )
    context = len(ask("q", TOKENIZER)) + 3
    examples, long = encode_conversations(read_conversations(path), TOKENIZER, context)
    assert ([shown(one.answer) for one in examples], long) == (["abc", "a<|end|>"], 1)
    examples, long = encode_conversations(read_conversations(path), TOKENIZER, context, too_long="skip")
    assert ([shown(one.answer) for one in examples], long) == (["a<|end|>"], 1)
    with pytest.raises(GroundupError, match=r"data\.jsonl:1: it has .* tokens and the model sees"):
        encode_conversations(read_conversations(path), TOKENIZER, context, too_long="refuse")
    with pytest.raises(GroundupError, match=r"data\.jsonl:1: its prompt alone .* no token of the answer"):
        encode_conversations(read_conversations(path), TOKENIZER, context - 3)


def test_a_cut_ends_with_a_trained_token() -> None:
    example = encode_conversation(TALK, TOKENIZER)
    cut = example.cut(len(example.prompt) + 4)  # inside the second question
    assert (shown(cut.answer), cut.mask) == ("B<|end|>", None)
