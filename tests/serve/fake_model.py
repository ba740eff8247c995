"""A model whose answers a test controls: real tokenizer and chat format, made-up text."""

import threading
import time
from collections.abc import Callable, Sequence

import tiny
from groundup.errors import GroundupError
from groundup.inference.loading import LoadedModel
from groundup.inference.scoring import TokenLogprob
from groundup.serve.choices import ChoiceRequest, Delta
from groundup.tokenizer.tokenizer import Tokenizer

SUBJECTS = ["bisect.insort", "json.dumps", "os.path.join", "shutil.copytree", "textwrap.dedent"]
PIECES = ["Join ", "one or more ", "päth 🌱", " components."]
TOKENIZER = Tokenizer([])  # bytes and special tokens


def loaded(name: str = "tiny", context: int = 256) -> LoadedModel:
    """Weights that nothing reads, unless the answers are the real ones."""
    return LoadedModel(
        name,
        tiny.model(5, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=context).eval(),
        TOKENIZER,
        frozenset({TOKENIZER.end}),
        introduction="I was taught 5 symbols of Python's standard library. Of anything else I can only guess.",
        examples=("What does bisect.insort do?", "What does os.path.join do?"),
        subjects=SUBJECTS,
    )


class FakeAnswer:
    """Grows by one of the model's pieces with each step that its gate lets through."""

    def __init__(self, model: "FakeModel", job: ChoiceRequest) -> None:
        self.model, self.job = model, job
        self.completion_tokens = 0
        self.finish_reason: str | None = None
        self.prompt_logprobs: list[TokenLogprob] = []
        self.new: list[str] = []

    def step(self) -> None:
        model, index = self.model, self.completion_tokens
        if self.finish_reason is not None:
            return
        if model.breaks_at == index:
            raise model.error
        if index == len(model.pieces):
            self.finish_reason = "stop"
            return
        if model.gate is not None and not model.gate.acquire(timeout=0.01):
            return  # as a slow model: the worker goes round again, and sees clients that leave
        time.sleep(model.pause)
        self.new.append(model.pieces[index])
        self.completion_tokens += 1
        if self.completion_tokens == self.job.max_tokens:
            self.finish_reason = "length"

    def take(self) -> Delta:
        new, self.new = self.new, []
        token = TokenLogprob(65, -0.5, ((65, -0.5), (66, -1.5)))
        return Delta("".join(new), () if self.job.logprobs is None else (token,) * len(new))

    def cancel(self) -> None:
        self.finish_reason = self.finish_reason or "length"


class FakeModel:
    """What a test sets and sees; `offered()` and the model itself as the backend are arguments of `create_app`."""

    def __init__(self, pieces: Sequence[str] = PIECES, *, gate: threading.Semaphore | None = None, pause: float = 0):
        self.pieces, self.gate, self.pause = list(pieces), gate, pause
        self.breaks_at: int | None = None
        self.error: Exception = GroundupError("the question can't be answered", do="ask another")
        self.began = threading.Event()
        self.jobs: list[ChoiceRequest] = []
        self.answers: list[FakeAnswer] = []
        self.loaded = loaded()

    def offered(self) -> dict[str, Callable[[], LoadedModel]]:
        return {"tiny": lambda: self.loaded, "tiny:sft": lambda: loaded("tiny:sft")}

    def start(self, loaded: LoadedModel, job: ChoiceRequest) -> FakeAnswer:
        self.jobs.append(job)
        self.answers.append(FakeAnswer(self, job))
        self.began.set()
        return self.answers[-1]

    def step(self) -> None:
        for answer in self.answers:
            answer.step()
