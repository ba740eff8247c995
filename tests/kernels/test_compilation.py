"""Kept machine code is used again, and not when a file that it was compiled from has changed."""

import numpy as np
import pytest

from groundup.kernels import compilation
from groundup.kernels.compilation import kernel


def doubled(x: np.ndarray) -> np.ndarray:
    return x * 2


def hits() -> int:
    made = kernel(doubled)
    assert made(np.arange(3)).tolist() == [0, 2, 4]
    return sum(made.stats.cache_hits.values())  # type: ignore[attr-defined]


def test_machine_code_of_another_digest_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    hits()  # whatever an earlier run has kept
    assert hits() == 1
    monkeypatch.setattr(compilation, "source_digest", lambda path: "another")
    assert hits() == 0
    assert hits() == 1
    monkeypatch.undo()
    assert hits() == 0


def test_a_function_without_a_file_is_compiled() -> None:
    namespace: dict = {}
    exec("def double(x): return 2 * x", namespace)  # numba finds no folder for the code of such a function
    double = kernel(namespace["double"])
    assert double(21) == 42
    assert double.signatures
