"""Functions that a model can call, as text: the chat format needs no more than its three roles for them.

    <|system|>Be brief.

    Functions that you can call, one a line:
    {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    To call one, write:
    <tool_call>
    {"name": NAME, "arguments": OBJECT}
    </tool_call>
    <|user|>How warm is it in Rome?<|assistant|><tool_call>
    {"name": "weather", "arguments": {"city": "Rome"}}
    </tool_call><|end|><|user|><tool_response>
    21
    </tool_response><|assistant|>It is 21 degrees there.<|end|>

(The line breaks before `<|user|>` are this page's.) Training, chat and server all write them by `as_turns`. The tags
are those of Hermes, which many open models were trained on.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.errors import GroundupError

CALL, END_OF_CALL = "<tool_call>", "</tool_call>"
RESPONSE, END_OF_RESPONSE = "<tool_response>", "</tool_response>"
HEADING = "Functions that you can call, one a line:"
HOW = f'To call one, write:\n{CALL}\n{{"name": NAME, "arguments": OBJECT}}\n{END_OF_CALL}'

Tool = Mapping[str, Any]
"""As OpenAI's clients send them: `{"type": "function", "function": {"name", "description"?, "parameters"?}}`."""


def as_turns(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool] = ()) -> list[dict[str, str]]:
    """Messages with calls and their results, and the functions, as messages of the three roles.

        >>> call = {"function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
        >>> result = {"role": "tool", "content": "21"}
        >>> for turn in as_turns([{"role": "assistant", "content": None, "tool_calls": [call]}, result]):
        ...     print(turn["role"], repr(turn["content"]))
        assistant '<tool_call>\\n{"name": "weather", "arguments": {"city": "Rome"}}\\n</tool_call>'
        user '<tool_response>\\n21\\n</tool_response>'

    Args:
        messages: `tool_calls` of the assistant's are written after its content; results (role `tool`) that follow each
            other become one message of the user's. Whatever has no calls stays as it is.
        tools: written at the end of the system message; there is one then.

    Raises:
        GroundupError: a tool or a call has no name, or arguments that are no JSON object.
    """
    turns: list[dict[str, str]] = []
    after_result = False
    for number, message in enumerate(messages, 1):
        turn = {name: value for name, value in message.items() if name in ("role", "content")}
        if calls := message.get("tool_calls"):
            written = [_call(call, f"message {number}") for call in calls]
            text = message.get("content") or ""
            if not isinstance(text, str):
                raise GroundupError("a message's content is no text", where=f"message {number}")
            turn["content"] = "\n".join([*([text] if text else []), *written])
        if message.get("role") == "tool":
            text = f"{RESPONSE}\n{message.get('content')}\n{END_OF_RESPONSE}"
            if after_result:
                turns[-1]["content"] += f"\n{text}"
                continue
            turn = {"role": "user", "content": text}
        after_result = message.get("role") == "tool"
        turns.append(turn)
    if tools:
        described = "\n".join([HEADING, *map(_described, tools), HOW])
        if turns and turns[0].get("role") == "system":
            before = turns[0].get("content")
            turns[0] = {"role": "system", "content": f"{before}\n\n{described}" if before else described}
        else:
            turns.insert(0, {"role": "system", "content": described})
    return turns


def _described(tool: Tool) -> str:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise GroundupError(f"a tool has no name: {tool}", do='write it as {"function": {"name": ..., ...}}')
    return json.dumps(function, ensure_ascii=False)


def _call(call: Any, where: str) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise GroundupError("a tool call has no function with a name", where=where)
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, Mapping):
        raise GroundupError(f"the arguments of {function['name']} are no JSON object", where=where)
    written = json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)
    return f"{CALL}\n{written}\n{END_OF_CALL}"
