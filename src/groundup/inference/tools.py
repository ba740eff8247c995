"""Calls of functions in answers: what form they must have, and reading them out of the text.

<tool_call>
{"name": "weather", "arguments": {"city": "Rome"}}
</tool_call>
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from groundup.inference.grammar import Grammar
from groundup.inference.text import overlap
from groundup.tokenizer.tools import CALL, END_OF_CALL, Tool

ANYTHING = {"type": "object"}  # the arguments of a function that doesn't describe them
SPELLING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}  # as earlier calls are written


def call_grammar(tools: Sequence[Tool], *, required: bool, one_token: bool = False) -> Grammar:
    """Answers in which every call is of one of these functions, with arguments as it describes them.

        >>> tool = {"function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
        >>> forced = call_grammar([tool], required=True)

    Args:
        required: the answer is one call and nothing else; without it, any text with or without calls in it.
        one_token: the tags are special tokens of the tokenizer.

    Raises:
        GroundupError: llguidance isn't installed, or it can't make sense of a function's `parameters`.
    """
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                "arguments": tool["function"].get("parameters") or ANYTHING,
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    rules = [f"call_{number}: %json {json.dumps(call | {'x-guidance': SPELLING})}" for number, call in enumerate(calls)]
    call = " | ".join(f"call_{number}" for number in range(len(calls)))
    begin, end = (CALL, END_OF_CALL) if one_token else (json.dumps(CALL), json.dumps(END_OF_CALL))
    if required:
        rules.append(f'start: {begin} "\\n" ({call}) "\\n" {end}')
    elif one_token:
        rules += ["TEXT: /(.|\\n)*/", f'tool: TEXT {begin} "\\n" ({call}) "\\n" {end}', "start: tool* TEXT"]
    else:  # text up to the tag, which begins a call wherever it comes
        rules += [
            "TEXT: /(.|\\n)*/",
            f"begin[lazy]: TEXT {begin}",
            f'tool: begin "\\n" ({call}) "\\n" {end}',
            "rest: TEXT",
            "start: tool* rest",
        ]
    return Grammar.lark("%llguidance {}\n" + "\n".join(rules))


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants called."""

    name: str
    arguments: str
    """A JSON object."""


class CallReader:
    """Divides an answer into text and calls while it comes.

    >>> reader = CallReader()
    >>> reader.feed("Well. <tool_")
    ('Well. ', [])
    >>> reader.feed('call>{"name": "now", "arguments": {}}</tool_call>')
    ('', [ToolCall(name='now', arguments='{}')])
    """

    def __init__(self) -> None:
        self.count = 0
        """Calls so far."""
        self._held = ""

    def feed(self, text: str) -> tuple[str, list[ToolCall]]:
        """The text that no call can begin in, and the calls that are complete."""
        self._held += text
        content, calls = "", list[ToolCall]()
        while (start := self._held.find(CALL)) >= 0:
            content, self._held = content + self._held[:start], self._held[start:]
            found = _read(self._held)
            if found is None or not self._held.startswith(END_OF_CALL, found[1]):
                break  # it is still being written
            calls.append(found[0])
            self._held = self._held[found[1] + len(END_OF_CALL) :]
        else:
            free = len(self._held) - overlap(self._held, CALL)
            content, self._held = content + self._held[:free], self._held[free:]
        self.count += len(calls)
        return content, calls

    def finish(self) -> tuple[str, list[ToolCall]]:
        """What is left at the answer's end: a call that only its closing tag is missing of, or text."""
        held, self._held = self._held, ""
        found = _read(held) if held.startswith(CALL) else None
        if found is None or held[found[1] :]:
            return held, []
        self.count += 1
        return "", [found[0]]


def _read(text: str) -> tuple[ToolCall, int] | None:
    """The call that a text begins with, and where what follows it begins; None where there is no whole one."""
    start = len(CALL) + len(text[len(CALL) :]) - len(text[len(CALL) :].lstrip())
    try:
        call, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", {})
    if not isinstance(arguments, dict):
        return None
    end += len(text[end:]) - len(text[end:].lstrip())
    return ToolCall(call["name"], json.dumps(arguments, ensure_ascii=False)), end
