"""llama.cpp, by the package `cyllama`, which has it built in.

Sequences are decoded together as its server does it: one batch with a token of each. Where tokens are counted per
second, its defaults are kept (keys and values in 16 bits, flash attention where it has it); where logits are compared,
both are 32 bits.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

F32, OFF = 0, 0  # of `ggml_type` and `llama_flash_attn_type`
LEAST_CONTEXT = 256  # of a sequence; it pads shorter ones


class LlamaCpp:
    """A GGUF file, loaded.

    Args:
        sequences: how many are decoded together.
        context: tokens of each.
        exact: keys and values in 32 bits, and attention as it is written.
        vocabulary_only: only to tokenize.

    Raises:
        ModuleNotFoundError: the package isn't installed.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        sequences: int = 1,
        context: int = LEAST_CONTEXT,
        exact: bool = False,
        vocabulary_only: bool = False,
    ) -> None:
        from cyllama.llama import llama_cpp

        llama_cpp.disable_logging()
        llama_cpp.ggml_backend_load_all()
        options = llama_cpp.LlamaModelParams()
        options.n_gpu_layers = 0

        class SizedModel(llama_cpp.LlamaModel):  # type: ignore[misc]  # the package has no types
            """With what the package's `get_logits_ith` asks for, and its model has not."""

            @property
            def n_vocab(self) -> int:
                return int(self.get_vocab().n_vocab)

        self._model = SizedModel(str(path), options)
        self._vocabulary = self._model.get_vocab()
        self.size = int(self._vocabulary.n_vocab)
        self._context: Any = None
        if vocabulary_only:
            return
        settings = llama_cpp.LlamaContextParams()
        room = max(LEAST_CONTEXT, context) * sequences
        settings.n_ctx, settings.n_batch, settings.n_seq_max = room, room, sequences
        settings.n_threads, settings.n_threads_batch = threads, threads
        if exact:
            settings.type_k, settings.type_v, settings.flash_attn_type = F32, F32, OFF
        self._context = llama_cpp.LlamaContext(self._model, settings)
        self._batch = llama_cpp.LlamaBatch(n_tokens=room, embd=0, n_seq_max=sequences)
        self._sampler = llama_cpp.LlamaSampler(llama_cpp.LlamaSamplerChainParams())
        self._sampler.add_greedy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context is not None:
            self._batch.close()
            self._context.close()
        self._model.close()

    def tokenize(self, text: str) -> list[int]:
        """The ids of a text; what spells a special token is text."""
        return [int(token) for token in self._vocabulary.tokenize(text, add_special=False, parse_special=False)]

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """[T, V] after each token of a text."""
        self._context.kv_cache_clear(True)
        self._decode([ids], [0], every=True)
        return np.array([self._context.get_logits_ith(index) for index in range(len(ids))], dtype=np.float32)

    def greedy(self, prompts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
        """`count` likeliest tokens after each prompt, all prompts together, whatever they are."""
        self._context.kv_cache_clear(True)
        answers: list[list[int]] = [[] for _ in prompts]
        read, starts = list(prompts), [0] * len(prompts)
        for _ in range(count):
            self._decode(read, starts)
            last = np.cumsum([len(ids) for ids in read]) - 1
            for answer, index in zip(answers, last.tolist(), strict=True):
                answer.append(int(self._sampler.sample(self._context, index)))
            starts = [start + len(ids) for start, ids in zip(starts, read, strict=True)]
            read = [answer[-1:] for answer in answers]
        return answers

    def _decode(self, rows: Sequence[Sequence[int]], starts: Sequence[int], every: bool = False) -> None:
        """Read tokens of each sequence, for the logits after its last one, or after each."""
        self._batch.clear()
        for row, (ids, start) in enumerate(zip(rows, starts, strict=True)):
            for number, token in enumerate(ids):
                self._batch.add(token, start + number, [row], every or number == len(ids) - 1)
        self._context.decode(self._batch)
