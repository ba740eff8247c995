"""Kept machine code is used again, and not when a file that it was compiled from has changed."""

import pickle
from pathlib import Path

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


def test_what_another_digest_has_kept_is_not_even_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the classes of arguments, and an edit may have renamed one."""
    hits()
    index = kernel(doubled)._cache._cache_file._index_path  # type: ignore[attr-defined]
    with Path(index).open("r+b") as file:
        pickle.load(file)  # the version
        file.truncate()
        file.write(b"cgroundup\nNothingCalledSo\n.")
    with pytest.raises(AttributeError):
        hits()
    monkeypatch.setattr(compilation, "source_digest", lambda path: "another")
    assert hits() == 0
    assert hits() == 1


def test_a_function_without_a_file_is_compiled() -> None:
    namespace: dict = {}
    exec("def double(x): return 2 * x", namespace)  # numba finds no folder for the code of such a function
    double = kernel(namespace["double"])
    assert double(21) == 42
    assert double.signatures
