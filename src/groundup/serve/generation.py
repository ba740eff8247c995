"""One answer at a time: a bounded line of requests in front of one worker thread.

The worker posts pieces of text to the event loop of the request that wants them. A request that goes away leaves the
line at once if it was waiting; if its answer was under way, the model is told to stop at its next token.
"""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from groundup.serve.metrics import Metrics
from groundup.serve.protocol import ApiError, ChatRequest

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.chat_model import ChatModel


@dataclass(frozen=True)
class Outcome:
    """How an answer ended."""

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        return counts | {"total_tokens": self.prompt_tokens + self.completion_tokens}


@dataclass
class Note:
    """Whether the question names something that the model was taught, and if not, what comes near."""

    taught: bool = False
    nearest: list[str] = field(default_factory=list)


class Generation:
    """One request's answer. Made by `Desk.admit` on the event loop, run on the worker thread."""

    def __init__(self, model: "ChatModel", request: ChatRequest, metrics: Metrics) -> None:
        self.note = Note()  # filled before the first piece
        self.future: Future[Outcome]  # set by the desk
        self._model, self._request, self._metrics = model, request, metrics
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()  # None: over, the future says how
        self._left = threading.Event()

    def run(self) -> Outcome:
        """Generate the answer, on the worker thread."""
        started, request, model = time.monotonic(), self._request, self._model
        answer = model.stream(
            request.chat(),
            max_tokens=min(request.limit, model.context),
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=self._left.is_set,
        )
        if answer.prompt_tokens >= model.context:
            message = f"the messages take {answer.prompt_tokens} tokens, and the model's context has {model.context}"
            raise ApiError(400, message, param="messages", code="context_length_exceeded")
        self.note.taught = model.taught.about(request.question) is not None
        if not self.note.taught:
            self.note.nearest = model.taught.nearest(request.question)
        for piece in answer:
            self.post(piece)
        outcome = Outcome(answer.finish_reason, answer.prompt_tokens, answer.completion_tokens)
        self._metrics.add(
            answers=1,
            answer_seconds=time.monotonic() - started,
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
        )
        return outcome

    def post(self, piece: str | None) -> None:
        """Hand `piece` to the request's event loop, from any thread."""
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    async def pieces(self) -> AsyncIterator[str]:
        """The answer's text as it comes. Raises what the model raised."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
        self.outcome()

    def outcome(self) -> Outcome:
        """How the answer ended; only after the last piece."""
        if self.future.cancelled():
            raise ApiError(503, "the server is stopping", kind="server_error")
        return self.future.result()

    def leave(self) -> None:
        """Give up the slot. Nothing happens when the answer is complete."""
        if self.future.done() or self._left.is_set():
            return
        self._metrics.add(clients_left=1)
        self._left.set()
        self.future.cancel()  # if it was still waiting


class Desk:
    """Takes requests in the order they come; one is being answered while at most `waiting` others wait."""

    def __init__(self, model: "ChatModel", metrics: Metrics, *, waiting: int) -> None:
        self._model, self._metrics, self._waiting = model, metrics, waiting
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generation")
        self._lock = threading.Lock()
        self._present: set[Generation] = set()
        metrics.present = lambda: len(self._present)

    def admit(self, request: ChatRequest) -> Generation:
        """Put the request in line. A full line is an `ApiError` 429 that says when to come back."""
        generation = Generation(self._model, request, self._metrics)
        with self._lock:
            if len(self._present) > self._waiting:
                seconds = max(1, math.ceil(self._metrics.mean_seconds() * len(self._present)))
                raise ApiError(
                    429,
                    f"{self._waiting} requests are waiting already; try again in {seconds} s",
                    kind="rate_limit_error",
                    code="rate_limit_exceeded",
                    headers={"Retry-After": str(seconds)},
                )
            self._present.add(generation)
        generation.future = self._worker.submit(generation.run)
        generation.future.add_done_callback(lambda _: self._over(generation))
        return generation

    def _over(self, generation: Generation) -> None:
        with self._lock:
            self._present.discard(generation)
        generation.post(None)

    def close(self) -> None:
        """Stop the answer under way and turn away those that wait."""
        for generation in list(self._present):
            generation.leave()
        self._worker.shutdown()
