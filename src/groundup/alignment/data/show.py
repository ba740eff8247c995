"""The tokens of a data file's rows, with what is trained of them: for a person's eyes before any training."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.text import Text

from groundup.alignment.answers import Answer
from groundup.alignment.data.data_files import read_rows
from groundup.alignment.data.data_reading import read_comparisons, read_conversations
from groundup.alignment.data.examples import Turns, answer_ids, encode_conversation, prompt_ids
from groundup.terminal import printable
from groundup.tokenizer.tokenizer import Tokenizer

TRAINED, CONTEXT = ("black on green", "black on bright_green"), ("dim", "")  # neighbouring tokens in turn
Purpose = Literal["sft", "reward"]


def purpose_of(path: Path) -> Purpose:
    """`reward` for files of comparisons, by their first row; raises GroundupError where the file can't be read."""
    first = read_rows(path)[1][0].value
    return "reward" if isinstance(first, dict) and {"rejected", "ranked"} & first.keys() else "sft"


def show_file(
    path: Path, purpose: Purpose, tokenizer: Tokenizer, rows: int, context: int | None = None, turns: Turns = "all"
) -> Iterator[Text]:
    """The first rows, token by token, then what was recognised, skipped and counted in the whole file.

    Trained tokens are green and, for eyes and files without colours, between `[[` and `]]`.

    Args:
        context: of the model; examples that are longer are counted.

    Raises:
        GroundupError: the file can't be read, or too many of its rows can't be used.
    """
    examples: list[tuple[str, Answer]] = []
    if purpose == "reward":
        comparisons = read_comparisons(path)
        summary, skipped = comparisons.summary, comparisons.skipped
        for where, pair in comparisons.records:
            prompt = prompt_ids(pair.prompt, tokenizer)
            for name, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
                examples.append((f"{where} {name}", Answer(prompt, answer_ids(answer, tokenizer))))
        rows *= 2
    else:
        conversations = read_conversations(path)
        summary, skipped = conversations.summary, conversations.skipped
        examples = [(where, encode_conversation(one, tokenizer, turns)) for where, one in conversations.records]
    for where, example in examples[:rows]:
        trained = sum(example.trained)
        yield Text(printable(f"{where}: {len(example):,} tokens, {trained:,} trained"), style="bold")
        yield coloured(example, tokenizer)
        yield Text("")
    yield Text(printable(summary))
    for where, reason in skipped[:10]:
        yield Text(printable(f"skipped {where}: {reason}"), style="red")
    lengths = [len(example) for _, example in examples]
    counted = f"{len(lengths):,} examples of {min(lengths):,} to {max(lengths):,} tokens"
    if context is not None:
        counted += f", {sum(length > context for length in lengths):,} longer than the context of {context:,}"
    yield Text(counted)


def coloured(example: Answer, tokenizer: Tokenizer) -> Text:
    """An example's text, a colour for each token."""
    text = Text()
    trained = [False] * len(example.prompt) + example.trained
    before = False
    for index, (ids, now) in enumerate(_characters(example.prompt + example.answer, trained, tokenizer)):
        if now != before:
            text.append("[[" if now else "]]", style="bold")
        text.append(printable(tokenizer.decode(ids)), style=(TRAINED if now else CONTEXT)[index % 2])
        before = now
    return text.append("]]", style="bold") if before else text


def _characters(ids: Sequence[int], trained: Sequence[bool], tokenizer: Tokenizer) -> Iterator[tuple[list[int], bool]]:
    """Tokens, together where one alone is no whole character."""
    held: list[int] = []
    for index, (token, now) in enumerate(zip(ids, trained, strict=True)):
        held.append(token)
        ends = index + 1 == len(ids) or trained[index + 1] != now
        if ends or "\ufffd" not in tokenizer.decode(held):
            yield held, now
            held = []
