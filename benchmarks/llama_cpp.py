"""llama.cpp through its own C interface, by the shared library of the package `llama-cpp-py-sync`.

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
LAST, ALL = range(2)  # whose logits are wanted


class LlamaCpp:
    """A GGUF file, loaded.

    Args:
        sequences: how many are decoded together.
        context: tokens of each.
        exact: keys and values in 32 bits, and attention as it is written.
        vocabulary_only: no weights are read.

    Raises:
        ModuleNotFoundError: the package isn't installed.
        RuntimeError: llama.cpp refuses the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        sequences: int = 1,
        context: int = 256,
        exact: bool = False,
        vocabulary_only: bool = False,
    ) -> None:
        from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

        self._ffi, self._lib = get_ffi(), get_lib()
        self._silent = self._ffi.callback("ggml_log_callback", lambda *_: None)
        self._lib.llama_log_set(self._silent, self._ffi.NULL)
        self._lib.llama_backend_init()
        options = self._lib.llama_model_default_params()
        options.vocab_only = vocabulary_only
        self._model = self._lib.llama_model_load_from_file(str(path).encode(), options)
        if self._model == self._ffi.NULL:
            raise RuntimeError(f"llama.cpp refuses {path}")
        self._vocabulary = self._lib.llama_model_get_vocab(self._model)
        self.size = int(self._lib.llama_vocab_n_tokens(self._vocabulary))
        self._context = self._ffi.NULL
        if vocabulary_only:
            return
        settings = self._lib.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = max(256, context) * sequences
        settings.n_ubatch = min(512, settings.n_batch)  # its default
        settings.n_seq_max = sequences
        settings.n_threads = settings.n_threads_batch = threads
        if exact:
            settings.type_k = settings.type_v = F32
            settings.flash_attn_type = OFF
        self._context = self._lib.llama_init_from_model(self._model, settings)
        if self._context == self._ffi.NULL:
            raise RuntimeError(f"llama.cpp makes no context of {sequences} x {context} tokens")
        self._batch = self._lib.llama_batch_init(settings.n_batch, 0, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context != self._ffi.NULL:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)
        self._lib.llama_model_free(self._model)

    def tokenize(self, text: str) -> list[int]:
        """The ids of a text; what spells a special token is text."""
        data = text.encode()
        room = self._ffi.new("llama_token[]", len(data) + 8)
        count = self._lib.llama_tokenize(self._vocabulary, data, len(data), room, len(data) + 8, False, False)
        return [room[index] for index in range(count)]

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """[T, V] after each token of a text."""
        self._forget()
        return self._decode([ids], [0], ALL)

    def greedy(self, prompts: Sequence[Sequence[int]], count: int) -> list[list[int]]:
        """`count` likeliest tokens after each prompt, all prompts together, whatever they are."""
        self._forget()
        starts = [len(prompt) for prompt in prompts]
        chosen = self._decode(prompts, [0] * len(prompts), LAST).argmax(-1)
        answers = [[int(token)] for token in chosen]
        for step in range(count - 1):
            read = [answer[-1:] for answer in answers]
            chosen = self._decode(read, [start + step for start in starts], LAST).argmax(-1)
            for answer, token in zip(answers, chosen, strict=True):
                answer.append(int(token))
        return answers

    def system(self) -> str:
        """What instructions of the processor the library was built with."""
        return str(self._ffi.string(self._lib.llama_print_system_info()).decode())

    def _forget(self) -> None:
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)

    def _decode(self, rows: Sequence[Sequence[int]], starts: Sequence[int], which: int) -> NDArray[np.float32]:
        """Read tokens of each sequence; the logits that were asked for, [N, V]."""
        batch: Any = self._batch
        at = 0
        for row, (ids, start) in enumerate(zip(rows, starts, strict=True)):
            for number, token in enumerate(ids):
                batch.token[at], batch.pos[at] = token, start + number
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = row
                batch.logits[at] = which == ALL or number == len(ids) - 1
                at += 1
        batch.n_tokens = at
        status = self._lib.llama_decode(self._context, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode ended with {status}")
        found = len(rows) if which == LAST else at
        data = self._ffi.buffer(self._lib.llama_get_logits(self._context), found * self.size * 4)
        return np.frombuffer(data, dtype=np.float32).reshape(found, self.size)
