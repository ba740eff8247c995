"""Rows of the field's formats as conversations, comparisons and tasks. A row's keys decide which format it has.

messages           {"messages": [{"role": "user", "content": ...}, ...], "tools"?}; with `tool_calls` and role `tool`
ShareGPT           {"conversations": [{"from": "human", "value": ...}, ...], "system"?}
Alpaca             {"instruction", "input"?, "output", "system"?, "history"?: [[question, answer], ...]}
prompt-completion  {"prompt" | "question", "completion" | "answer" | "response" | "output"}, texts or messages
preference         {"prompt"?, "chosen", "rejected"}, texts or messages
ranked list        {"prompt", "ranked": [best, ..., worst]}; a list in the list holds equal ones
HH transcript      {"chosen", "rejected"} or {"text"}, as "\\n\\nHuman: ...\\n\\nAssistant: ..."
unpaired labels    {"prompt", "completion", "label": true | false}
task               {"prompt" | "question" | "instruction", "answer"?, "verifier"?}

Texts are made uniform as documents are (Unicode NFC, line ends: `corpus.clean`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundup.alignment.data.records import AnswerPair, Conversation, Message, Task
from groundup.corpus.clean import clean
from groundup.errors import GroundupError
from groundup.tokenizer.tools import as_turns

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "model": "assistant", "chatgpt": "assistant", "bot": "assistant",
}  # fmt: skip
QUESTIONS = ("prompt", "instruction", "question")
ANSWERS = ("completion", "output", "answer", "response")
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_HH_ROLES = {"Human": "user", "Assistant": "assistant"}


class FormatError(ValueError):
    """A row that can't be used; the text is the reason."""


def conversation_of(row: Mapping[str, Any]) -> tuple[str, Conversation | None]:
    """(format, conversation); None where the row is labelled as a bad answer, which nothing should imitate.

    Raises:
        FormatError: the row has no format of these, or a field that can't be read.
    """
    if "messages" in row:
        return "messages", _conversation(_messages(_without_tools(row), "messages"))
    if "conversations" in row:
        return "ShareGPT", _conversation([*_system(row), *_messages(row["conversations"], "conversations")])
    if "label" in row and any(key in row for key in ANSWERS):
        return "unpaired labels", _completed(row) if _label(row) else None
    if any(_given(row, key) for key in ANSWERS):
        return ("Alpaca" if "instruction" in row else "prompt-completion"), _completed(row)
    if "ranked" in row:
        prompt, tiers = ranking_of(row)
        return "ranked list", _conversation([*prompt, _said("assistant", tiers[0][0])])
    if "chosen" in row:
        name, pair = comparison_of(row)
        return name, _conversation([*pair.prompt, _said("assistant", pair.chosen)])
    if isinstance(row.get("text"), str) and _is_transcript(row["text"]):
        return "HH transcript", _conversation(_transcript(row["text"]))
    if any(_given(row, key) for key in QUESTIONS):
        raise _no_text(row, ANSWERS)
    raise _unknown(row)


def comparison_of(row: Mapping[str, Any]) -> tuple[str, AnswerPair]:
    """(format, comparison); raises FormatError."""
    chosen, rejected = row.get("chosen"), row.get("rejected")
    for name, value in (("chosen", chosen), ("rejected", rejected)):
        if not value or not isinstance(value, str | list) or (isinstance(value, str) and not value.strip()):
            raise _no_text(row, (name,))
    has_prompt = any(_given(row, key) for key in QUESTIONS)
    if isinstance(chosen, str) and isinstance(rejected, str):
        if has_prompt:
            return "preference", AnswerPair(tuple(prompt_of(row)), _text(row, ("chosen",)), _text(row, ("rejected",)))
        if not (_is_transcript(chosen) and _is_transcript(rejected)):
            raise _no_text(row, QUESTIONS)
        return "HH transcript", _compared(_transcript(chosen), _transcript(rejected))
    earlier = prompt_of(row) if has_prompt else _system(row)
    sides = [_messages(value, name) for name, value in (("chosen", chosen), ("rejected", rejected))]
    if has_prompt:  # some files repeat the prompt in both sides
        sides = [side[len(earlier) :] if side[: len(earlier)] == earlier else side for side in sides]
    return "conversational preference", _compared(*([*earlier, *side] for side in sides))


def ranking_of(row: Mapping[str, Any]) -> tuple[tuple[Message, ...], list[list[str]]]:
    """(prompt, answers by rank, the best first) of a row with a ranked list; raises FormatError."""
    given = row["ranked"]
    if not isinstance(given, list):
        raise FormatError(f"`ranked` is {_kind(given)}, not a list of answers")
    tiers = [tier if isinstance(tier, list) else [tier] for tier in given]
    answers = [answer for tier in tiers for answer in tier]
    if len(answers) < 2:
        raise FormatError("`ranked` has less than two answers")
    if not all(isinstance(answer, str) and answer.strip() for answer in answers) or not all(tiers):
        raise FormatError("`ranked` holds something else than texts, or an empty one")
    tiers = [[clean(answer) for answer in tier] for tier in tiers]
    if len({answer for tier in tiers for answer in tier}) < len(answers):
        raise FormatError("`ranked` has the same answer twice")
    return tuple(_checked(prompt_of(row))), tiers


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer that is labelled good or bad, without another to compare it with."""

    prompt: tuple[Message, ...]
    answer: str
    good: bool


def labelled_of(row: Mapping[str, Any]) -> LabelledAnswer:
    """The answer of a row with a label; raises FormatError."""
    messages = _completed(row).messages
    return LabelledAnswer(messages[:-1], messages[-1]["content"], _label(row))


def task_in(row: Mapping[str, Any], verifier: str) -> tuple[str, Task]:
    """(format, task); `verifier` is that of rows which name none. Raises FormatError."""
    key = next((key for key in ("answer", "output", "completion") if row.get(key) not in (None, "")), "answer")
    answer = row.get(key, "")
    if isinstance(answer, list) and answer and all(isinstance(one, dict) for one in answer):
        answer = _messages(answer, key)[-1]["content"]
    if "messages" in row:
        messages = _checked(_messages(_without_tools(row), "messages"))
        if messages[-1]["role"] == "assistant":
            messages, answer = messages[:-1], answer or messages[-1]["content"]
        name = "messages"
    else:
        messages, name = prompt_of(row), "task"
    if not messages or messages[-1]["role"] != "user":
        raise FormatError("the prompt doesn't end with the user's message")
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return name, Task(tuple(messages), clean(text), str(row.get("verifier") or verifier))


def prompt_of(row: Mapping[str, Any]) -> list[Message]:
    """Everything before the answer: system, history, and the question with its `input` below it."""
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(turn, list | tuple) and len(turn) == 2 for turn in history):
        raise FormatError("`history` is no list of [question, answer]")
    earlier = _system(row)
    for turn in history:
        if not all(isinstance(text, str) for text in turn):
            raise FormatError("`history` holds something else than texts")
        earlier += [_said("user", turn[0]), _said("assistant", turn[1])]
    key = next((key for key in QUESTIONS if isinstance(row.get(key), list)), None)
    if key is not None:
        return _checked([*earlier, *_messages(row[key], key)])
    question, extra = _text(row, QUESTIONS), row.get("input")
    if extra is not None and not isinstance(extra, str):
        raise FormatError(f"`input` is {_kind(extra)}, not text")
    if extra and extra.strip():
        question = f"{question}\n{clean(extra)}"
    return [*earlier, _said("user", question)]


def _completed(row: Mapping[str, Any]) -> Conversation:
    key = next((key for key in ANSWERS if isinstance(row.get(key), list)), None)
    answer = _messages(row[key], key) if key else [_said("assistant", _text(row, ANSWERS))]
    return _conversation([*prompt_of(row), *answer])


def _compared(chosen: Sequence[Message], rejected: Sequence[Message]) -> AnswerPair:
    if chosen[:-1] != rejected[:-1]:
        raise FormatError("`chosen` and `rejected` differ in more than the last message")
    messages = _conversation(chosen).messages
    if rejected[-1]["role"] != "assistant" or messages[-1]["role"] != "assistant" or len(messages) < 2:
        raise FormatError("`chosen` and `rejected` must be a prompt's answers: end both with the assistant's message")
    return AnswerPair(messages[:-1], messages[-1]["content"], rejected[-1]["content"])


def _conversation(messages: Sequence[Message]) -> Conversation:
    kept = _checked(messages)
    if not any(message["role"] == "assistant" for message in kept):
        raise FormatError("no message is the assistant's: nothing would be trained")
    if kept[0]["role"] == "assistant":
        raise FormatError("the first message is the assistant's: nothing was asked")
    return Conversation(tuple(kept))


def _checked(messages: Sequence[Message]) -> list[Message]:
    if not messages:
        raise FormatError("there is no message")
    for number, message in enumerate(messages):
        if number and message["role"] == "system":
            raise FormatError(f"message {number + 1} is a system message and comes after others")
        if message["role"] != "system" and not message["content"].strip():
            raise FormatError(f"message {number + 1} is empty")
    return list(messages)


def _messages(given: Any, name: str) -> list[Message]:
    """Messages in OpenAI's form (`role`, `content`) or ShareGPT's (`from`, `value`); what else they have is ignored."""
    if isinstance(given, str):
        if name == "messages" or name == "conversations":
            raise FormatError(f"`{name}` is no list of messages")
        return [_said("user" if name in QUESTIONS else "assistant", given)]
    if not isinstance(given, list) or not given or not all(isinstance(message, dict) for message in given):
        raise FormatError(f"`{name}` is no list of messages")
    messages = []
    for number, message in enumerate(given, 1):
        role, content = message.get("role", message.get("from")), message.get("content", message.get("value"))
        if not isinstance(role, str) or role not in ROLES:
            raise FormatError(f"the role of message {number} is {role!r}; use system, user or assistant")
        if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            content = "".join(str(part.get("text", "")) for part in content)
        if not isinstance(content, str):
            raise FormatError(f"message {number} has no text in `content`")
        messages.append(_said(ROLES[role], content))
    return messages


def _without_tools(row: Mapping[str, Any]) -> Any:
    """The row's messages; functions, calls and their results are text in them, as chat and server write it."""
    messages, tools = row["messages"], row.get("tools") or ()
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return messages
    try:
        tools = json.loads(tools) if isinstance(tools, str) else tools
        if tools or any(message.get("role") == "tool" or message.get("tool_calls") for message in messages):
            return as_turns(messages, tools)
    except (ValueError, TypeError) as error:
        raise FormatError(f"`tools` can't be read ({error})") from error
    except GroundupError as error:
        raise FormatError(str(error)) from error
    return messages


def _is_transcript(text: str) -> bool:
    return _SPEAKER.match(text.lstrip("\n")) is not None


def _transcript(text: str) -> list[Message]:
    _, *parts = _SPEAKER.split("\n\n" + text.lstrip("\n"))
    return [_said(_HH_ROLES[speaker], said.strip()) for speaker, said in zip(parts[::2], parts[1::2], strict=True)]


def _system(row: Mapping[str, Any]) -> list[Message]:
    system = row.get("system")
    if system is not None and not isinstance(system, str):
        raise FormatError(f"`system` is {_kind(system)}, not text")
    return [_said("system", system)] if system and system.strip() else []


def _label(row: Mapping[str, Any]) -> bool:
    label = row.get("label")
    known = {"true": True, "1": True, "good": True, "false": False, "0": False, "bad": False}
    if str(label).lower() not in known:
        raise FormatError(f"`label` is {label!r}; use true or false")
    return known[str(label).lower()]


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": clean(content)}


def _given(row: Mapping[str, Any], key: str) -> bool:
    return row.get(key) not in (None, "", [])


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        if isinstance(row.get(name), str) and row[name].strip():
            return clean(row[name])
    raise _no_text(row, names)


def _no_text(row: Mapping[str, Any], names: Sequence[str]) -> FormatError:
    wanted = " or ".join(f"`{name}`" for name in names)
    return FormatError(f"has no text under {wanted} (it has {', '.join(map(repr, row)) or 'nothing'})")


def _unknown(row: Mapping[str, Any]) -> FormatError:
    return FormatError(f"has no known format (it has {', '.join(map(repr, row)) or 'nothing'})")


def _kind(value: Any) -> str:
    return {
        str: "text",
        list: "a list",
        dict: "an object",
        int: "a number",
        float: "a number",
        bool: "true or false",
    }.get(type(value), f"a {type(value).__name__}")
