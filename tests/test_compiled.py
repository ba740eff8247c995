"""Kept machine code is used again, and not when a file that it was compiled from has changed."""

from pathlib import Path

import numpy as np
import pytest

from groundup import compiled as compiled_module
from groundup.compiled import compiled, digest_of


def doubled(x: np.ndarray) -> np.ndarray:
    return x * 2


def hits() -> int:
    made = compiled(doubled)
    assert made(np.arange(3)).tolist() == [0, 2, 4]
    return sum(made.stats.cache_hits.values())  # type: ignore[attr-defined]


def test_an_edit_in_a_helper_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    hits()  # whatever an earlier run has kept
    assert hits() == 1
    monkeypatch.setattr(compiled_module, "digest_of", lambda package: "another")
    assert hits() == 0
    assert hits() == 1
    monkeypatch.undo()
    assert hits() == 0


def test_the_digest_is_of_a_rooms_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "HERE", tmp_path)
    (tmp_path / "room" / "inner").mkdir(parents=True)
    digests = set()
    for name, content in {
        "room/a.py": "from groundup.room.kernel import kernel\n",
        "room/inner/b.py": "from groundup.room.kernel import helper\n",
        "room/c.py": "nothing compiled\n",
        "other.py": "kernel\n",
    }.items():
        (tmp_path / name).write_text(content)
        digest_of.cache_clear()
        digests.add(digest_of("groundup.room.inner"))
    digest_of.cache_clear()
    assert len(digests) == 2
