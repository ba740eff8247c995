"""An exported model to talk to: messages in, text out, piece by piece."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from groundup.artifacts.durable import read_json
from groundup.errors import GroundupError
from groundup.inference.generate import Sampling, stream
from groundup.inference.taught import Taught
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import load_huggingface
from groundup.tokenizer.chat import render
from groundup.tokenizer.streaming import StreamDecoder
from groundup.tokenizer.tokenizer import Tokenizer

CARD = "groundup.json"  # in the exported model's folder: its name, what it was made from and taught
_FIELDS = {"name": str, "subjects": list, "examples": list, "introduction": str, "turns": int}


class AnswerStream:
    """Iterates over pieces of text; once it is exhausted, the counts and the reason to end are known."""

    def __init__(self, pieces: Callable[["AnswerStream"], Iterator[str]], prompt_tokens: int) -> None:
        self.prompt_tokens, self.completion_tokens = prompt_tokens, 0
        self.finish_reason = "length"  # "stop" once the stop token has come
        self._pieces = pieces(self)

    def __iter__(self) -> Iterator[str]:
        return self._pieces


class ChatModel:
    """A model with its tokenizer and its account of what it was taught."""

    def __init__(self, model: CustomLanguageModel, tokenizer: Tokenizer, card: Mapping[str, Any]) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.name, self.context = str(card["name"]), model.config.max_position_embeddings
        self.taught = Taught(card["subjects"])
        self._introduction = str(card["introduction"])
        self._one_turn = card["turns"] == 1
        self.examples: list[str] = list(card["examples"])

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "ChatModel":
        """Read an exported folder.

        Raises:
            GroundupError: a part of it is missing or damaged, or they do not belong together.
        """
        card = read_json(folder / CARD)
        given = card if isinstance(card, dict) else {}
        if wrong := [name for name, kind in _FIELDS.items() if not isinstance(given.get(name), kind)]:
            raise GroundupError(f"has no {', '.join(wrong)}", where=str(folder / CARD), do="export the model again")
        model, tokenizer = load_huggingface(folder, device), Tokenizer.load(folder / "tokenizer.json")
        if tokenizer.vocabulary_size != model.config.vocab_size:
            sizes = f"{tokenizer.vocabulary_size:,} tokens, the model {model.config.vocab_size:,}"
            raise GroundupError(f"the tokenizer's vocabulary has {sizes}", where=str(folder), do="export both again")
        return cls(model, tokenizer, given)

    def introduction(self) -> str:
        """What the model was taught, in two sentences, honest about the rest."""
        return self._introduction

    def stream(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> AnswerStream:
        """The answer to the last message. `stop` is asked after every token and ends the answer early.

        Without a seed, temperatures above 0 draw from fresh randomness. A model whose fine-tuning never showed it more
        than one question at a time is given the last message alone: what came before would only confuse it.
        """
        ids, _ = render(messages[-1:] if self._one_turn else messages, self.tokenizer, answer_prompt=True)
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)

        def pieces(answer: AnswerStream) -> Iterator[str]:
            decoder = StreamDecoder(self.tokenizer)
            tokens = stream(
                self.model,
                ids,
                stop=self.tokenizer.end,
                max_tokens=max_tokens,
                sampling=Sampling(temperature, top_p),
                generator=generator,
            )
            for token in tokens:
                answer.completion_tokens += 1
                if token == self.tokenizer.end:
                    answer.finish_reason = "stop"
                    break
                if text := decoder.feed(token):
                    yield text
                if stop():
                    break
            if text := decoder.finish():
                yield text

        return AnswerStream(pieces, len(ids))
