"""An exported model to talk to: messages in, text out, piece by piece."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from groundup.artifacts.durable import read_json
from groundup.errors import GroundupError
from groundup.inference.engine import InferenceEngine
from groundup.inference.sampling import GREEDY, Sampling
from groundup.inference.taught import Taught
from groundup.inference.text import Answer
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import load_huggingface
from groundup.tokenizer.chat import render
from groundup.tokenizer.tokenizer import Tokenizer

CARD = "groundup.json"  # in the exported model's folder: its name, what it was made from and taught
SLOTS = 4  # questions that are answered together; as many conversations are kept for their next turn
_FIELDS = {"name": str, "subjects": list, "examples": list, "introduction": str, "turns": int}


class AnswerStream:
    """Iterates over pieces of text, one step of the engine at a time; once it is exhausted, the reason to end is known.

    Nothing is computed before the first piece is asked for. Whoever stops iterating gives up the answer.

    Args:
        start: adds the request.
        stop: asked after every token; ends the answer early.
    """

    def __init__(
        self, start: Callable[[], Answer], engine: InferenceEngine, prompt_tokens: int, stop: Callable[[], bool]
    ) -> None:
        self.prompt_tokens, self.completion_tokens = prompt_tokens, 0
        self.finish_reason = "length"  # "stop" once the stop token or a stop string has come
        self._pieces = self._generate(start, engine, stop)

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def _generate(
        self, start: Callable[[], Answer], engine: InferenceEngine, stop: Callable[[], bool]
    ) -> Iterator[str]:
        answer = start()
        try:
            while not answer.done:
                engine.step()
                if len(answer.request.tokens) > self.completion_tokens:
                    self.completion_tokens = len(answer.request.tokens)
                    if not answer.done and stop():
                        answer.cancel()
                if answer.request.finish == "stop":
                    self.finish_reason = "stop"
                if text := answer.take():
                    yield text
        finally:
            answer.cancel()


class ChatModel:
    """A model with its tokenizer and its account of what it was taught."""

    def __init__(
        self, model: CustomLanguageModel, tokenizer: Tokenizer, card: Mapping[str, Any], slots: int = SLOTS
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.engine = InferenceEngine(model, slots=slots)
        self.name, self.context = str(card["name"]), model.config.max_position_embeddings
        self.taught = Taught(card["subjects"])
        self._introduction = str(card["introduction"])
        self._one_turn = card["turns"] == 1
        self.examples: list[str] = list(card["examples"])

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", slots: int = SLOTS) -> "ChatModel":
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
        return cls(model, tokenizer, given, slots)

    def introduction(self) -> str:
        """What the model was taught, in two sentences, honest about the rest."""
        return self._introduction

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens that a request for the answer to the last message begins with.

        A model whose fine-tuning never showed it more than one question at a time is given the last message alone: what
        came before would only confuse it.

        Raises:
            GroundupError: a message is malformed.
        """
        ids, _ = render(messages[-1:] if self._one_turn else messages, self.tokenizer, answer_prompt=True)
        return ids

    def answer(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int = 128,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        top: int | None = None,
    ) -> Answer:
        """A request that `engine.step` works on, together with all others. Of a prompt that is longer than the context
        the beginning is lost."""
        return Answer(
            self.engine,
            self.tokenizer,
            prompt[-(self.context - 1) :],
            max_tokens=max_tokens,
            stop=stop,
            stop_ids={self.tokenizer.end},
            sampling=sampling,
            top=top,
        )

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
        """The answer to the last message, piece by piece. `stop` is asked after every token and ends it early.

        Without a seed, temperatures above 0 draw from fresh randomness.
        """
        prompt, sampling = self.prompt(messages), Sampling(temperature, top_p, seed=seed)
        start = partial(self.answer, prompt, max_tokens=max_tokens, sampling=sampling)
        return AnswerStream(start, self.engine, len(prompt), stop)

    def chat(
        self, message: str | Sequence[Mapping[str, str]], *, max_tokens: int = 256, sampling: Sampling = GREEDY
    ) -> str:
        """The answer to a question, or to the last of several messages."""
        return "".join(self.pieces(message, max_tokens=max_tokens, sampling=sampling))

    def pieces(
        self, message: str | Sequence[Mapping[str, str]], *, max_tokens: int = 256, sampling: Sampling = GREEDY
    ) -> Iterator[str]:
        """What `chat` returns, as it comes."""
        prompt = self.prompt([{"role": "user", "content": message}] if isinstance(message, str) else message)
        start = partial(self.answer, prompt, max_tokens=max_tokens, sampling=sampling)
        yield from AnswerStream(start, self.engine, len(prompt), lambda: False)


def load(folder: str | Path, device: str = "cpu", slots: int = SLOTS) -> ChatModel:
    """The chat model of a run, or of an exported folder.

        >>> from groundup.inference import load
        >>> model = load("runs/python-docs")  # doctest: +SKIP
        >>> print(model.chat("What does os.path.join do?"))  # doctest: +SKIP
        Join one or more path components intelligently.
        >>> for piece in model.pieces("And os.path.split?"):  # doctest: +SKIP
        ...     print(piece, end="", flush=True)

    Args:
        slots: questions that can be answered together.

    Raises:
        GroundupError: there is no such model, or a part of it is missing or damaged.
    """
    folder = Path(folder)
    exported = folder / "model"
    return ChatModel.load(exported if (exported / CARD).exists() else folder, device, slots)
