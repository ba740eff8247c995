"""`fit` with each kind of tokens, with a folder to resume from, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.shards.token_file import TokenShard
from groundup.training import LoopConfig, fit

IDS = [number % 7 for number in range(300)]


@pytest.mark.parametrize(
    "tokens",
    [IDS, np.array(IDS), torch.tensor(IDS), [IDS[:150], IDS[150:]], TokenShard.of([np.array(IDS)])],
    ids=["list", "array", "tensor", "documents", "shard"],
)
def test_every_kind_of_tokens_is_the_same_training(tokens: object) -> None:
    rows = fit(tiny.model(0), tokens, steps=3, sequence=10, batch=4)  # type: ignore[arg-type]
    expected = fit(tiny.model(0), IDS, steps=3, sequence=10, batch=4)
    assert [row["loss"] for row in rows] == [row["loss"] for row in expected]


def test_it_learns_and_validates() -> None:
    model = tiny.model(0)
    rows = fit(model, IDS, steps=60, sequence=10, learning_rate=1e-2, validation=IDS[:50])
    assert rows[-1]["heldout_loss"] < 0.5 < rows[0]["loss"]
    assert len(rows) == 60


def test_a_folder_keeps_metrics_and_checkpoints(tmp_path: Path) -> None:
    """A second call with the same folder finds the training finished, and restores its weights."""
    first, second = tiny.model(0), tiny.model(1)
    rows = fit(first, IDS, steps=4, sequence=10, folder=tmp_path, config=LoopConfig(schedule="constant"))
    assert [row["step"] for row in fit(second, IDS, steps=4, sequence=10, folder=tmp_path)] == [1, 2, 3, 4]
    assert len(rows) == 4
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("tokens", [[], [1, 2, 3], [[1, 2], [3]]])
def test_too_few_tokens(tokens: list[int]) -> None:
    with pytest.raises(GroundupError, match="a sequence of 10 needs 11"):
        fit(tiny.model(0), tokens, sequence=10)
