"""A model without weights that has the interface of `groundup.inference.chat_model.ChatModel`."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError

SUBJECTS = ["bisect.insort", "json.dumps", "os.path.join", "shutil.copytree", "textwrap.dedent"]
PIECES = ["Join ", "one or more ", "päth 🌱", " components."]


class FakeTaught:
    subjects = SUBJECTS

    def about(self, question: str) -> str | None:
        return next((subject for subject in self.subjects if subject in question), None)

    def nearest(self, question: str) -> list[str]:
        return self.subjects[:2]


class FakeAnswer:
    """Gives `pieces` until `stop` says so; a gate, where there is one, must be opened for every piece."""

    def __init__(self, model: "FakeModel", messages: Sequence[Mapping[str, str]], limit: int, stop: Callable[[], bool]):
        self.model, self.limit, self.stop = model, limit, stop
        self.finish_reason = "length"
        self.prompt_tokens = sum(len(message["content"].split()) for message in messages)
        self.completion_tokens = 0
        self._steps = self._generate(messages)

    def _generate(self, messages: Sequence[Mapping[str, str]]) -> Iterator[str]:
        model = self.model
        model.began.set()
        for index, piece in enumerate(model.pieces):
            if model.breaks_at == index:
                raise model.error
            while model.gate is not None and not model.gate.acquire(timeout=0.01):
                if self.stop():
                    break
            if self.stop():
                model.stopped.set()
                return
            if index == self.limit:
                return
            time.sleep(model.pause)
            self.completion_tokens += 1
            yield piece
        self.finish_reason = "stop"

    def __iter__(self) -> Iterator[str]:
        return self._steps


class FakeModel:
    name = "tiny"
    context = 64
    examples = ("What does bisect.insort do?", "What does os.path.join do?")

    def __init__(self, pieces: Sequence[str] = PIECES, *, gate: threading.Semaphore | None = None, pause: float = 0):
        self.pieces, self.gate, self.pause = list(pieces), gate, pause
        self.taught = FakeTaught()
        self.breaks_at: int | None = None
        self.error: Exception = GroundupError("the question is longer than the context", do="shorten it")
        self.began, self.stopped = threading.Event(), threading.Event()
        self.calls: list[dict[str, Any]] = []

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "FakeModel":
        return cls()

    def introduction(self) -> str:
        return "I was taught 5 symbols of Python's standard library. Of anything else I can only guess."

    def stream(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> FakeAnswer:
        asked = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
        self.calls.append({"messages": list(messages), **asked})
        return FakeAnswer(self, messages, max_tokens, stop)
