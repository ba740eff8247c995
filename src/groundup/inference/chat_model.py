"""An exported model to talk to: messages in, text out, piece by piece."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from groundup.inference.engine import InferenceEngine
from groundup.inference.grammar import Grammar
from groundup.inference.loading import CARD, LoadedModel, Messages, load_folder
from groundup.inference.sampling import GREEDY, Sampling
from groundup.inference.text import TextAnswer

SLOTS = 4  # questions that are answered together; as many conversations are kept for their next turn


class AnswerStream:
    """Iterates over pieces of text, one step of the engine at a time; once it is exhausted, the reason to end is known.

    Nothing is computed before the first piece is asked for. Whoever stops iterating gives up the answer.

    Args:
        start: adds the request.
        stop: asked after every token; ends the answer early.
    """

    def __init__(
        self, start: Callable[[], TextAnswer], engine: InferenceEngine, prompt_tokens: int, stop: Callable[[], bool]
    ) -> None:
        self.prompt_tokens, self.completion_tokens = prompt_tokens, 0
        self.finish_reason = "length"  # "stop" once the stop token or a stop string has come
        self._pieces = self._generate(start, engine, stop)

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def _generate(
        self, start: Callable[[], TextAnswer], engine: InferenceEngine, stop: Callable[[], bool]
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
    """A loaded model and the engine that answers for it."""

    def __init__(self, loaded: LoadedModel, slots: int = SLOTS) -> None:
        self.loaded = loaded
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.engine = InferenceEngine(loaded.model, slots=slots, words=loaded.words)
        self.name, self.context, self.taught = loaded.name, loaded.context, loaded.taught
        self.introduction, self.examples = loaded.introduction, list(loaded.examples)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", slots: int = SLOTS) -> "ChatModel":
        """Read an exported or another Hugging Face folder.

        Raises:
            GroundupError: a part of it is missing or damaged, or they do not belong together.
        """
        return cls(load_folder(folder, device), slots)

    def prompt(self, messages: Messages) -> list[int]:
        """The tokens that a request for the answer to the last message begins with.

        A model whose fine-tuning never showed it more than one question at a time is given the last message alone: what
        came before would only confuse it.

        Raises:
            GroundupError: a message is malformed, or the model has no chat format.
        """
        return self.loaded.chat_prompt(messages)

    def answer(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int = 128,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        top: int | None = None,
        grammar: Grammar | None = None,
    ) -> TextAnswer:
        """A request that `engine.step` works on, together with all others. Of a prompt that is longer than the context
        the beginning is lost."""
        return TextAnswer(
            self.engine,
            self.tokenizer,
            prompt[-(self.context - 1) :],
            max_tokens=max_tokens,
            stop=stop,
            stop_ids=self.loaded.stop,
            sampling=sampling,
            top=top,
            grammar=grammar,
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
        self,
        message: str | Sequence[Mapping[str, str]],
        *,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        grammar: Grammar | None = None,
    ) -> str:
        """The answer to a question, or to the last of several messages; of a given form where there is a `grammar`."""
        return "".join(self.pieces(message, max_tokens=max_tokens, sampling=sampling, grammar=grammar))

    def pieces(
        self,
        message: str | Sequence[Mapping[str, str]],
        *,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        grammar: Grammar | None = None,
    ) -> Iterator[str]:
        """What `chat` returns, as it comes."""
        prompt = self.prompt([{"role": "user", "content": message}] if isinstance(message, str) else message)
        start = partial(self.answer, prompt, max_tokens=max_tokens, sampling=sampling, grammar=grammar)
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
