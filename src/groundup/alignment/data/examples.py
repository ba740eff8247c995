"""Examples from the files that a blueprint names, and prompts as the chat format has them.

Instruction files are JSON (a list) or JSON lines of `{"instruction", "input"?, "output"}` or `{"messages": [...]}`;
preference files of `{"prompt" | "instruction", "input"?, "chosen", "rejected"}`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.alignment.answers import Answer
from groundup.errors import GroundupError
from groundup.tokenizer.chat import render
from groundup.tokenizer.tokenizer import Tokenizer

Messages = Sequence[Mapping[str, str]]


def ask(question: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a question, up to where the answer begins."""
    return render([{"role": "user", "content": question}], tokenizer, answer_prompt=True)[0]


def answer_ids(answer: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of an answer with its stop token. Encoded apart from the question, as at inference."""
    return [*tokenizer.encode(answer), tokenizer.end]


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:row`, row) of a JSON list or of JSON lines.

    Raises:
        GroundupError: the file is missing, holds no row, or a row is no JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some programs begin a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do="name a JSON or JSON-lines file") from error
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise GroundupError(f"is no JSON ({error})", where=str(path), do="correct the file") from error
        numbered = [(f"{path}:row {number}", row) for number, row in enumerate(rows, 1)]
    else:
        numbered = []
        for number, line in enumerate(text.split("\n"), 1):  # JSON's strings may hold other line ends
            if line.strip():
                try:
                    numbered.append((f"{path}:{number}", json.loads(line)))
                except ValueError as error:
                    raise GroundupError(
                        f"is no JSON ({error})", where=f"{path}:{number}", do="correct the row"
                    ) from error
    if not numbered:
        raise GroundupError("holds no row", where=str(path), do="name a file with examples, or leave `data` out")
    for where, row in numbered:
        if not isinstance(row, dict):
            raise GroundupError(f"is a {type(row).__name__}, not an object", where=where, do="correct the row")
        yield where, row


def prompt_of(row: Mapping[str, Any], where: str) -> str:
    """`prompt`, or `instruction` with its `input` below it."""
    prompt = _text(row, ("prompt", "instruction", "question"), where)
    extra = row.get("input")
    return f"{prompt}\n{extra}" if isinstance(extra, str) and extra.strip() else prompt


def read_instructions(path: Path, tokenizer: Tokenizer, context: int) -> list[Answer]:
    """Each row's last answer, after all that was said before it.

    Raises:
        GroundupError: a row lacks a field, or no answer token would be trained because the row is beyond the context.
    """
    examples = []
    for where, row in read_rows(path):
        if "messages" in row:
            prompt, answer = _last_answer(row["messages"], where, tokenizer)
        else:
            prompt = ask(prompt_of(row, where), tokenizer)
            answer = answer_ids(_text(row, ("output", "answer", "response"), where), tokenizer)
        examples.append(fitted(prompt, answer, context, where))
    return examples


def fitted(prompt: list[int], answer: list[int], context: int, where: str) -> Answer:
    """The answer cut to what the model can see; raises GroundupError where that is none of it."""
    if len(prompt) >= context:
        raise GroundupError(
            f"its prompt alone has {len(prompt)} tokens and the model sees {context}: no token of the answer would be "
            "trained",
            where=where,
            do="shorten the prompt, remove the row, or raise pretrain.model.context",
        )
    return Answer(prompt, answer[: context - len(prompt)])


def _last_answer(said: Any, where: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """A conversation's ids up to its last answer, and that answer's."""
    if not isinstance(said, list) or not said or not all(isinstance(message, dict) for message in said):
        raise GroundupError("`messages` is no list of messages", where=where, do="correct or remove the row")
    if said[-1].get("role") != "assistant":
        raise GroundupError("the last message is no answer", where=where, do="end it with the assistant's turn")
    try:
        whole, _ = render(said, tokenizer)
    except GroundupError as error:
        raise GroundupError(error.what, where=f"{where}, {error.where}", do=error.do) from error
    prompt, _ = render(said[:-1], tokenizer, answer_prompt=True)
    return prompt, whole[len(prompt) :]


def read_preferences(path: Path) -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected) of each row."""
    return [
        (prompt_of(row, where), _text(row, ("chosen",), where), _text(row, ("rejected",), where))
        for where, row in read_rows(path)
    ]


def read_questions(path: Path) -> list[tuple[str, str]]:
    """(question, right answer) of each row."""
    return [(prompt_of(row, where), _text(row, ("answer", "output"), where)) for where, row in read_rows(path)]


def _text(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    for name in names:
        if isinstance(row.get(name), str) and row[name].strip():
            text: str = row[name]
            return text
    wanted, found = " or ".join(f"`{name}`" for name in names), ", ".join(map(repr, row)) or "nothing"
    raise GroundupError(
        f"has no text under {wanted} (it has {found})",
        where=where,
        do="rename the field or remove the row",
    )
