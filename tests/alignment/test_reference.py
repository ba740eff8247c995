"""The reference's log-probabilities: those of each answer alone, computed once, and of the digests that they claim."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_objectives import PAD, PAIRS
from test_stage import FAST, all_stages, run, start  # noqa: F401  (start is a fixture)

import tiny
from groundup.alignment import preference
from groundup.alignment.answers import collate, summed_log_probabilities
from groundup.alignment.configuration import DpoConfig
from groundup.alignment.reference import DIGESTS, FILE, digests, read_reference, reference_of, write_reference
from groundup.artifacts import Artifact
from groundup.errors import GroundupError
from groundup.parallel.engine import ModelOnDevice


def known(precision: str = "fp32") -> torch.Tensor:
    return reference_of(PAIRS, ModelOnDevice(tiny.model(9), torch.device("cpu"), precision), PAD)


def test_they_are_those_of_each_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the pairs, also where they take several batches."""
    monkeypatch.setattr("groundup.alignment.reference.FORWARD_TOKENS", 40)
    with torch.no_grad():
        alone = [
            [float(summed_log_probabilities(tiny.model(9), collate([answer], PAD))) for answer in pair]
            for pair in PAIRS
        ]
    assert torch.allclose(known(), torch.tensor(alone), atol=1e-4)


def test_what_is_kept_is_read_for_the_same_digests_alone(tmp_path: Path) -> None:
    of = digests("abc", "fp32", PAIRS)
    assert read_reference(tmp_path, of) is None
    write_reference(tmp_path, known(), of)
    assert torch.equal(read_reference(tmp_path, of), known())
    for other in (digests("abd", "fp32", PAIRS), digests("abc", "bf16", PAIRS), digests("abc", "fp32", PAIRS[1:])):
        assert read_reference(tmp_path, other) is None
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(GroundupError, match="can't be read"):
        read_reference(tmp_path, of)


@pytest.fixture(scope="module")
def road(start: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:  # noqa: F811
    return all_stages(start, tmp_path_factory.mktemp("road"))


def test_the_stage_computes_them_once(
    road: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed and started again, it reads them; they are a part of the artifact."""
    calls = list[int]()

    def counted(*given: Any) -> torch.Tensor:
        calls.append(1)
        return reference_of(*given)

    monkeypatch.setattr(preference, "reference_of", counted)
    config = DpoConfig(batch_pairs=4, **FAST)
    first = run("dpo", config, road, tmp_path)
    assert (first.path / FILE).stat().st_size and (first.path / DIGESTS).exists()
    (tmp_path / "dpo").rename(tmp_path / "before")
    (tmp_path / "kept").mkdir()
    for name in (FILE, DIGESTS):
        (tmp_path / "dpo.keep" / name).rename(tmp_path / "kept" / name)
    again = tmp_path / "again"
    again.mkdir()
    (tmp_path / "kept").rename(again / "dpo.keep")
    second = run("dpo", config, road, again)
    assert calls == [1]
    assert (second.path / FILE).read_bytes() == (tmp_path / "before" / FILE).read_bytes()


def test_losses_without_a_reference_compute_none(
    road: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preference, "reference_of", None)
    made = run("dpo", DpoConfig(loss="simpo", batch_pairs=4, **FAST), road, tmp_path)
    assert not (made.path / FILE).exists()
