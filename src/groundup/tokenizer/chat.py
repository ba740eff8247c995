"""The chat format: `<|user|>QUESTION<|assistant|>ANSWER<|end|>`, with nothing in between.

A conversation may begin with `<|system|>TEXT`. `<|end|>` closes each answer, belongs to it, and stops generation.
Functions that can be called, calls and their results are text within these (`tools.py`).
"""

from collections.abc import Mapping, Sequence

from groundup.errors import GroundupError
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.tools import HEADING, HOW

ROLES = ("system", "user", "assistant")

TEMPLATE = (
    "{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{% if tools %}"
    "{{ '<|system|>' + (system + '\\n\\n' if system else '') + " + repr(HEADING) + " }}"
    "{% for tool in tools %}{{ '\\n' + (tool['function'] | tojson) }}{% endfor %}"
    "{{ '\\n' + " + repr(HOW) + " }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>' }}{% generation %}{{ message['content'] or '' }}"
    "{% for call in message['tool_calls'] %}"
    "{{ '\\n' if message['content'] or not loop.first else '' }}"
    "{{ '<tool_call>\\n{\"name\": ' + (call['function']['name'] | tojson) + ', \"arguments\": ' }}"
    "{% set given = call['function']['arguments'] %}{{ given if given is string else given | tojson }}"
    "{{ '}\\n</tool_call>' }}"
    "{% endfor %}{{ '<|end|>' }}{% endgeneration %}"
    "{% elif message['role'] == 'tool' %}"
    "{{ '<|user|>' if loop.first or messages[loop.index0 - 1]['role'] != 'tool' else '\\n' }}"
    "{{ '<tool_response>\\n' + message['content'] + '\\n</tool_response>' }}"
    "{% elif message['role'] == 'system' and loop.first and tools %}"
    "{% elif message['role'] == 'user' or (message['role'] == 'system' and loop.first) %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% else %}"
    "{{ raise_exception('a message is from system (as the first), user, assistant or tool, not ' + message['role']) }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""The same as a Jinja chat template for transformers, with tools (`tools.as_turns`). It works on text, so it can't
distinguish a special token from a message that spells one; `render` can."""


def render(
    messages: Sequence[Mapping[str, str]], tokenizer: Tokenizer, answer_prompt: bool = False
) -> tuple[list[int], list[bool]]:
    """The ids of a conversation, and for each whether a model is trained to produce it.

    Trained are the assistant's contents and the `<|end|>` after each. Contents are plain text, also where they spell
    a special token.

    >>> question = {"role": "user", "content": "Hi"}
    >>> ids, trained = render([question], Tokenizer.train([]), answer_prompt=True)
    >>> len(ids), trained
    (4, [False, False, False, False])

    Args:
        messages: `{"role": "system" | "user" | "assistant", "content": text}`; a system message comes first only.
        answer_prompt: end with `<|assistant|>`, so that a model continues with the answer.

    Raises:
        GroundupError: no role or content, an unknown role, or a system message that is not the first.
    """
    ids: list[int] = []
    trained: list[bool] = []

    def add(tokens: list[int], train: bool) -> None:
        ids.extend(tokens)
        trained.extend([train] * len(tokens))

    for at, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise GroundupError(
                f"a message's role is {role!r}", where=f"message {at + 1}", do="use system, user or assistant"
            )
        if not isinstance(content, str):
            raise GroundupError("a message has no text in `content`", where=f"message {at + 1}", do="give it one")
        if role == "system" and at:
            raise GroundupError(
                "a system message comes after others", where=f"message {at + 1}", do="put it first, or leave it out"
            )
        add([tokenizer.special_ids[f"<|{role}|>"]], False)
        add(tokenizer.encode(content), role == "assistant")
        if role == "assistant":
            add([tokenizer.end], True)
    if answer_prompt:
        add([tokenizer.assistant], False)
    return ids, trained
