"""Token ids of questions, answers and conversations, as the chat format has them."""

from collections.abc import Sequence
from typing import Literal, TypeVar

from groundup.alignment.answers import Answer
from groundup.alignment.data.data_reading import FileRecords
from groundup.alignment.data.formats import LabelledAnswer
from groundup.alignment.data.records import AnswerPair, Conversation, Message, Task
from groundup.errors import GroundupError
from groundup.tokenizer.chat import render
from groundup.tokenizer.tokenizer import Tokenizer

TooLong = Literal["cut", "skip", "refuse"]
Turns = Literal["all", "last"]
PromptedT = TypeVar("PromptedT", AnswerPair, LabelledAnswer, Task)


def ask(question: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a question, up to where the answer begins."""
    return prompt_ids([{"role": "user", "content": question}], tokenizer)


def prompt_ids(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """The ids of all that was said before an answer: system, earlier turns and the question."""
    return render(messages, tokenizer, answer_prompt=True)[0]


def answer_ids(answer: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of an answer with its stop token. Encoded apart from the question, as at inference."""
    return [*tokenizer.encode(answer), tokenizer.end]


def fitted(prompt: list[int], answer: list[int], context: int, where: str) -> Answer:
    """The answer cut to what the model can see; raises GroundupError where that is none of it."""
    if len(prompt) >= context:
        raise GroundupError(
            _too_long(len(prompt), context),
            where=where,
            do="shorten the prompt, remove the row, or raise pretrain.model.context",
        )
    return Answer(prompt, answer[: context - len(prompt)])


def encode_conversation(conversation: Conversation, tokenizer: Tokenizer, turns: Turns = "all") -> Answer:
    """A conversation with what is trained of it: every answer with its stop token, or the last alone.

    Messages after the last answer are skipped.
    """
    messages = conversation.messages
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    ids, trained = render(messages[: last + 1], tokenizer)
    if turns == "last":
        start = len(prompt_ids(messages[:last], tokenizer))
        trained = [index >= start for index in range(len(ids))]
    start = trained.index(True)
    mask = trained[start:]
    return Answer(ids[:start], ids[start:], None if all(mask) else tuple(mask))


def encode_conversations(
    file: FileRecords[Conversation],
    tokenizer: Tokenizer,
    context: int,
    turns: Turns = "all",
    too_long: TooLong = "cut",
) -> tuple[list[Answer], int]:
    """(examples, how many were longer than the model's context and are cut, or skipped, as `too_long` has it).

    Rows whose prompt alone fills the context are skipped in any case, and counted by the file.

    Raises:
        GroundupError: too many rows are skipped, or one is too long and that is to be refused.
    """
    examples, long = [], 0
    for where, conversation in file.records:
        example = encode_conversation(conversation, tokenizer, turns)
        if len(example.prompt) >= context:
            file.skipped.append((where, _too_long(len(example.prompt), context)))
            continue
        if len(example) > context:
            long += 1
            if too_long == "refuse":
                raise GroundupError(
                    f"it has {len(example):,} tokens and the model sees {context:,}",
                    where=where,
                    do="shorten it, raise pretrain.model.context, or set sft.too_long: cut",
                )
            if too_long == "skip":
                continue
            example = example.cut(context)
        examples.append(example)
    file.check()
    return examples, long


def skip_long_prompts(file: FileRecords[PromptedT], tokenizer: Tokenizer, context: int) -> None:
    """Skip records whose prompt alone fills the model's context; raises GroundupError where they are too many."""
    kept = []
    for where, record in file.records:
        tokens = len(prompt_ids(record.prompt, tokenizer))
        if tokens < context:
            kept.append((where, record))
        else:
            file.skipped.append((where, _too_long(tokens, context)))
    file.records = kept
    file.check()


def _too_long(tokens: int, context: int) -> str:
    return f"its prompt alone has {tokens} tokens and the model sees {context}: no token of the answer would be trained"
