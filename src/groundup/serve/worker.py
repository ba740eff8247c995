"""Several answers at once, by one thread: each step gives every request that has a slot one more token.

The worker posts pieces of text to the event loop of the request that wants them. Requests beyond the slots wait in a
bounded line; beyond that they get 429. A request whose client has left gives up its slot, or its turn, at once.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from groundup.serve.errors import ApiError
from groundup.serve.metrics import Metrics

if TYPE_CHECKING:  # they bring torch
    from groundup.inference.loading import LoadedModel
    from groundup.inference.scoring import TokenLogprob
    from groundup.serve.choices import ChoiceRequest, Delta


class Growing(Protocol):
    """An answer under way; `choices.Choice` is one."""

    prompt_logprobs: "list[TokenLogprob]"

    @property
    def completion_tokens(self) -> int: ...

    @property
    def finish_reason(self) -> str | None:
        """None while it grows."""

    def take(self) -> "Delta":
        """What has come since the last call."""

    def cancel(self) -> None:
        """End it where it is."""


class Backend(Protocol):
    """What generates, called from the worker's thread alone; `choices.Engines` is one."""

    def start(self, loaded: "LoadedModel", job: "ChoiceRequest") -> Growing:
        """Begin an answer."""

    def step(self) -> None:
        """One more token for each answer."""


class Generation:
    """The answers to one request, one for each job. Made by `Worker.submit`."""

    def __init__(self, loaded: "LoadedModel", jobs: "Sequence[ChoiceRequest]", metrics: Metrics) -> None:
        self.answers: list[Growing] = []  # once the worker has begun
        self.count = len(jobs)
        self.prompt_tokens = sum(len(prompt) for prompt in {id(job.prompt): job.prompt for job in jobs}.values())
        self.submitted = time.monotonic()
        self.left = threading.Event()
        self.over = False
        self._loaded, self._jobs, self._metrics = loaded, jobs, metrics
        self._first: float | None = None
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[tuple[int, Delta] | None] = asyncio.Queue()  # None: it is over
        self._error: Exception | None = None

    def start(self, backend: Backend) -> None:
        """Begin the answers, on the worker's thread."""
        self.answers = [backend.start(self._loaded, job) for job in self._jobs]

    @property
    def completion_tokens(self) -> int:
        return sum(answer.completion_tokens for answer in self.answers)

    @property
    def usage(self) -> dict[str, int]:
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        return counts | {"total_tokens": self.prompt_tokens + self.completion_tokens}

    def collect(self) -> bool:
        """Post what the answers have grown by, on the worker's thread; whether any grows further."""
        for index, answer in enumerate(self.answers):
            piece = answer.take()
            if self._first is None and answer.completion_tokens:
                self._first = time.monotonic()
                self._metrics.first_token(self._first - self.submitted)
            if piece.text or piece.tokens:
                self._post((index, piece))
        return any(answer.finish_reason is None for answer in self.answers)

    def end(self, error: Exception | None = None) -> None:
        """Close the request, on the worker's thread."""
        self._error = error
        for answer in self.answers:
            answer.cancel()
        if error is None and not self.left.is_set():
            now, tokens = time.monotonic(), self.completion_tokens
            self._metrics.add(
                answers=1,
                answer_seconds=now - self.submitted,
                prompt_tokens=self.prompt_tokens,
                completion_tokens=tokens,
            )
            if self._first is not None and tokens > 1:
                self._metrics.per_token((now - self._first) / (tokens - 1))
        self.over = True
        self._post(None)

    def _post(self, piece: "tuple[int, Delta] | None") -> None:
        """Hand a piece to the request's event loop, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        except RuntimeError:  # the loop has closed: the server is gone, and so is the client
            self.left.set()

    async def pieces(self) -> "AsyncIterator[tuple[int, Delta]]":
        """(choice, piece) as they come. Raises what the model raised."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
        if self._error is not None:
            raise self._error

    def leave(self) -> None:
        """Give up the slot, or the turn in the line. Nothing happens when the answer is complete."""
        if self.over or self.left.is_set():
            return
        self._metrics.add(clients_left=1)
        self.left.set()


class Worker:
    """The thread that generates.

    Args:
        slots: how many requests are answered at once.
        waiting: how many more may wait.
        seconds: after so long an answer is ended as it is.
        backend: what generates.
    """

    def __init__(self, metrics: Metrics, *, slots: int, waiting: int, seconds: float, backend: Backend) -> None:
        self.slots, self.waiting, self.seconds = slots, waiting, seconds
        self._backend, self._metrics = backend, metrics
        self._line: deque[Generation] = deque()
        self._active: list[Generation] = []
        self._wake = threading.Condition()
        self._closing = False
        metrics.present = self._present
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self._thread.start()

    def submit(self, loaded: "LoadedModel", jobs: "Sequence[ChoiceRequest]") -> Generation:
        """Put a request in the line, on its event loop. A full line is an `ApiError` 429 with a time to come back."""
        with self._wake:
            self._forget_left()
            busy = sum(self._counts())
            if self._closing:
                raise ApiError(503, "the server is stopping", kind="server_error")
            if busy >= self.slots + self.waiting:
                seconds = max(1, math.ceil(self._metrics.mean_seconds() * busy / self.slots))
                raise ApiError(
                    429,
                    f"{busy} requests are being answered or waiting already; try again in {seconds} s",
                    kind="rate_limit_error",
                    code="rate_limit_exceeded",
                    headers={"Retry-After": str(seconds)},
                )
            generation = Generation(loaded, jobs, self._metrics)
            self._line.append(generation)
            self._wake.notify()
        return generation

    def close(self) -> None:
        """End the answers under way and turn away those that wait."""
        with self._wake:
            self._closing = True
            for generation in [*self._active, *self._line]:
                generation.leave()
            self._wake.notify()
        self._thread.join(timeout=10)

    def _present(self) -> tuple[int, int]:
        with self._wake:
            self._forget_left()
            return self._counts()

    def _counts(self) -> tuple[int, int]:
        """(being answered, waiting)."""
        return sum(not one.over for one in self._active), len(self._line)

    def _forget_left(self) -> None:
        """Take those out of the line whose client has left."""
        for generation in [one for one in self._line if one.left.is_set()]:
            self._line.remove(generation)
            generation.end()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._forget_left()
                while not self._active and not self._line and not self._closing:
                    self._wake.wait()
                if self._closing and not self._active:
                    for generation in self._line:
                        generation.end(ApiError(503, "the server is stopping", kind="server_error"))
                    return
                started = []
                while self._line and len(self._active) < self.slots:
                    started.append(self._line.popleft())
                    self._active.append(started[-1])
                active = list(self._active)
            for generation in started:
                self._guarded(generation, lambda one=generation: one.start(self._backend))  # type: ignore[misc]
            failed = self._stepped()
            for generation in active:
                if failed is not None and not generation.over:
                    generation.end(failed)
                if generation.over or not self._continues(generation):
                    with self._wake:
                        self._active.remove(generation)

    def _stepped(self) -> Exception | None:
        """A token for all; the error that the engine ended in, with which all requests end."""
        try:
            self._backend.step()
        except Exception as error:  # it is raised where the requests are answered
            return error
        return None

    def _guarded(self, generation: Generation, work: Callable[[], bool | None]) -> bool:
        """Whether the work's result is true; an error of it is the request's, and not the server's."""
        try:
            return bool(work())
        except Exception as error:  # it is raised where the request is answered
            generation.end(error)
            return False

    def _continues(self, generation: Generation) -> bool:
        """Post what a request has grown by; whether it is still under way."""
        if generation.left.is_set():
            generation.end()
            return False
        if self._guarded(generation, generation.collect):
            if time.monotonic() - generation.submitted < self.seconds:
                return True
            for answer in generation.answers:
                answer.cancel()
            self._guarded(generation, generation.collect)
        if not generation.over:
            generation.end()
        return False
