"""Every format of the field becomes the same conversation, comparison or task; what can't be read is named."""

import json
from typing import Any

import pytest

from groundup.alignment.data.formats import FormatError, comparison_of, conversation_of, task_in
from groundup.alignment.data.records import AnswerPair
from groundup.tokenizer.tools import HEADING, HOW

SYSTEM, USER = {"role": "system", "content": "S"}, {"role": "user", "content": "Q"}
ANSWER, OTHER = {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}
EARLIER = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
CALLING = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
RESULT = {"role": "tool", "content": "7"}
CONVERSATIONS: list[tuple[str, dict[str, Any], list[dict[str, str]]]] = [
    ("messages", {"messages": [SYSTEM, USER | {"name": "ann"}, ANSWER]}, [SYSTEM, USER, ANSWER]),
    ("messages", {"messages": [USER | {"content": [{"type": "text", "text": "Q"}]}, ANSWER]}, [USER, ANSWER]),
    (
        "messages",
        {"messages": [USER, CALLING, RESULT, ANSWER], "tools": '[{"function": {"name": "f"}}]'},
        [
            {"role": "system", "content": f'{HEADING}\n{{"name": "f"}}\n{HOW}'},
            USER,
            {"role": "assistant", "content": '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'},
            {"role": "user", "content": "<tool_response>\n7\n</tool_response>"},
            ANSWER,
        ],
    ),
    ("messages", {"messages": [{"role": "developer", "content": "S"}, USER, ANSWER]}, [SYSTEM, USER, ANSWER]),
    (
        "ShareGPT",
        {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}], "system": "S"},
        [SYSTEM, USER, ANSWER],
    ),
    (
        "Alpaca",
        {"instruction": "Q", "input": "", "output": "A", "system": "S", "history": [["Who?", "Me."]]},
        [SYSTEM, *EARLIER, USER, ANSWER],
    ),
    (
        "Alpaca",
        {"instruction": "Add.", "input": "1 2", "output": "A", "history": None},
        [USER | {"content": "Add.\n1 2"}, ANSWER],
    ),
    ("prompt-completion", {"prompt": "Q", "completion": "A"}, [USER, ANSWER]),
    (
        "prompt-completion",
        {"prompt": [SYSTEM, *EARLIER, USER], "completion": [ANSWER]},
        [SYSTEM, *EARLIER, USER, ANSWER],
    ),
    ("prompt-completion", {"question": "Q", "answer": "A"}, [USER, ANSWER]),
    ("preference", {"prompt": "Q", "chosen": "A", "rejected": "B"}, [USER, ANSWER]),
    (
        "HH transcript",
        {"text": "\n\nHuman: Who?\n\nAssistant: Me.\n\nHuman: Q\n\nAssistant: A"},
        [*EARLIER, USER, ANSWER],
    ),
    ("unpaired labels", {"prompt": "Q", "completion": "A", "label": True}, [USER, ANSWER]),
]


@pytest.mark.parametrize(("name", "row", "messages"), CONVERSATIONS)
def test_conversations(name: str, row: dict[str, Any], messages: list[dict[str, str]]) -> None:
    found, conversation = conversation_of(row)
    assert conversation is not None
    assert (found, list(conversation.messages)) == (name, messages)


def test_a_bad_answer_is_not_imitated() -> None:
    assert conversation_of({"prompt": "Q", "completion": "A", "label": "false"}) == ("unpaired labels", None)


def test_texts_are_made_uniform_as_documents_are() -> None:
    """A decomposed é and CRLF are what pretraining never saw."""
    _, conversation = conversation_of({"instruction": "Cafe\u0301?\r\nNow.", "output": "Re\u0301sume\u0301\r\nend "})
    assert conversation is not None
    assert [message["content"] for message in conversation.messages] == ["Caf\u00e9?\nNow.", "R\u00e9sum\u00e9\nend"]


COMPARISONS: list[tuple[str, dict[str, Any], list[dict[str, str]]]] = [
    ("preference", {"instruction": "Q", "input": " ", "chosen": "A", "rejected": "B", "output": "A"}, [USER]),
    ("preference", {"prompt": "Q", "system": "S", "chosen": "A", "rejected": "B"}, [SYSTEM, USER]),
    (
        "conversational preference",
        {"chosen": [SYSTEM, USER, ANSWER], "rejected": [SYSTEM, USER, OTHER]},
        [SYSTEM, USER],
    ),
    ("conversational preference", {"prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]}, [USER]),
    ("conversational preference", {"prompt": "Q", "chosen": [USER, ANSWER], "rejected": [USER, OTHER]}, [USER]),
    (
        "HH transcript",
        {
            "chosen": "\n\nHuman: Who?\n\nAssistant: Me.\n\nHuman: Q\n\nAssistant: A",
            "rejected": "\n\nHuman: Who?\n\nAssistant: Me.\n\nHuman: Q\n\nAssistant: B",
        },
        [*EARLIER, USER],
    ),
]


@pytest.mark.parametrize(("name", "row", "prompt"), COMPARISONS)
def test_comparisons(name: str, row: dict[str, Any], prompt: list[dict[str, str]]) -> None:
    assert comparison_of(row) == (name, AnswerPair(tuple(prompt), "A", "B"))


def test_tasks_keep_what_was_said_before() -> None:
    name, task = task_in({"prompt": [SYSTEM, *EARLIER, USER], "answer": 7, "verifier": "number"}, "exact")
    assert (name, list(task.prompt), task.answer, task.verifier) == ("task", [SYSTEM, *EARLIER, USER], "7", "number")
    name, task = task_in({"messages": [SYSTEM, USER, ANSWER]}, "exact")
    assert (name, list(task.prompt), task.answer, task.verifier) == ("messages", [SYSTEM, USER], "A", "exact")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"output": "A"}, "no text under `prompt`"),
        ({"instruction": "Q"}, "no text under `completion`"),
        ({"instruction": "Q", "output": " "}, "no text under `completion`"),
        ({"instruction": "Q", "output": 3}, "no text under `completion`"),
        ({"instruction": "Q", "input": [3, 4], "output": "A"}, "`input` is a list"),
        ({"instruction": "Q", "input": 5, "output": "A"}, "`input` is a number"),
        ({"instruction": "Q", "input": {"legs": 8}, "output": "A"}, "`input` is an object"),
        ({"instruction": "Q", "output": "A", "history": ["Who?"]}, "`history` is no list"),
        ({"instruction": "Q", "output": "A", "system": 1}, "`system` is a number"),
        ({"prompt": "Q", "completion": "A", "label": "maybe"}, "`label` is 'maybe'"),
        ({"messages": [USER, ANSWER], "tools": "["}, "`tools` can't be read"),
        ({"messages": [USER, ANSWER], "tools": [1]}, "a tool has no name: 1"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [{"function": {}}]}]}, "a tool call has no function"),
        ({"messages": []}, "no list of messages"),
        ({"messages": "text"}, "no list of messages"),
        ({"messages": ["text"]}, "no list of messages"),
        ({"messages": [USER]}, "nothing would be trained"),
        ({"messages": [ANSWER]}, "nothing was asked"),
        ({"messages": [USER, {"role": "assistant"}]}, "message 2 has no text"),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, "message 2 is empty"),
        ({"messages": [{"role": "robot", "content": "Q"}, ANSWER]}, "the role of message 1 is 'robot'"),
        ({"messages": [USER, SYSTEM, ANSWER]}, "message 2 is a system message"),
        ({"chosen": "A", "rejected": "B"}, "no text under `prompt`"),
        ({"words": 1}, "no known format"),
    ],
    ids=json.dumps,
)
def test_a_row_that_cannot_be_used(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        conversation_of(row)


def test_comparisons_of_different_questions_are_refused() -> None:
    with pytest.raises(FormatError, match="differ in more than the last message"):
        comparison_of({"chosen": [USER, ANSWER], "rejected": [USER | {"content": "R"}, ANSWER]})
