"""What a dry run says a rank holds, against ranks that are there: the same storages, and the memory of the process."""

import gc
from pathlib import Path

import pytest
import torch

import ranks
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.engine import MeshEngine
from groundup.planning.calibration import calibrate, whole_batch
from groundup.planning.dry_run import LiveStorages, dry_run, ranks_to_try, step_memory
from groundup.planning.machine import START_SECONDS, STEP_SECONDS, Machine
from groundup.training.configuration import PretrainConfig
from groundup.training.optimizer import make_optimizer

SMALL = LLMConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    tie_word_embeddings=False,
)
LARGE = SMALL.model_copy(update={"vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1408})


def pretraining(parallel: ParallelConfig, rows: int = 2) -> PretrainConfig:
    accumulate = 2 if parallel.pp > 1 else 1
    return PretrainConfig(
        batch_tokens=64 * rows * accumulate * parallel.dp, sequence=64, accumulate=accumulate, learning_rate=1e-3
    )


def resident() -> int:
    """Bytes of this process's memory at its most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def held(model: LLMConfig, degrees: dict[str, int]) -> tuple[int, int]:
    """(bytes of storages at the peak, growth of the process) of a rank that is there."""
    parallel = ParallelConfig(**degrees)
    config = pretraining(parallel)
    before = resident()
    with LiveStorages() as storages:
        engine = MeshEngine(CustomLanguageModel(model, seed=0), make_optimizer(config.optimizer), parallel, "fp32")
        gc.collect()
        found = step_memory(engine, whole_batch(model, config, parallel), storages)
    return found.memory_bytes, resident() - before


class EveryStorage(LiveStorages):
    """The same by brute force: all storages are asked for their size at every operator."""

    @property
    def bytes(self) -> int:
        storages = [known() for known in self._alive.values()]
        return sum(storage.nbytes() for storage in storages if storage is not None)


def test_storages_count_from_when_they_are_made_until_they_die() -> None:
    with LiveStorages() as storages:
        kept = torch.zeros(1000)
        passing = torch.zeros(500)
        view = kept[:10]  # no storage of its own
        assert (storages.bytes, storages.peak) == (6000, 6000)
        del passing
        assert (storages.bytes, storages.peak) == (4000, 6000)
        del kept
        assert storages.bytes == 4000  # the view keeps it
        view.untyped_storage().resize_(8000)  # as sharding does, between operators
        assert storages.bytes == 8000
        view.untyped_storage().resize_(0)
        assert storages.bytes == 0


@pytest.mark.parametrize("degrees", [{}, {"dp_shard": 2}, {"dp_shard": 2, "tp": 2}], ids=str)
def test_adding_up_as_storages_come_and_go_finds_the_same_peak(
    degrees: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    parallel = ParallelConfig(**degrees)
    found = [dry_run(SMALL, pretraining(parallel), parallel, "fp32").memory]
    monkeypatch.setattr("groundup.planning.dry_run.LiveStorages", EveryStorage)  # seen by the process that is forked
    assert found == [dry_run(SMALL, pretraining(parallel), parallel, "fp32").memory]


LAYOUTS = [{"dp_shard": 2}, {"tp": 2}, {"pp": 2}, {"cp": 2}]


@pytest.mark.parametrize("degrees", LAYOUTS, ids=str)
def test_storages_are_those_of_two_real_ranks(degrees: dict[str, int]) -> None:
    parallel = ParallelConfig(**degrees)
    tried = {
        rank: dry_run(SMALL, pretraining(parallel), parallel, "fp32", rank).memory_bytes
        for rank in ranks_to_try(parallel)
    }
    real = ranks.run(2, held, SMALL, degrees)
    for rank, predicted in tried.items():
        assert predicted == pytest.approx(real[rank][0], rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "degrees", [*LAYOUTS, {"dp_shard": 4}, {"dp_shard": 2, "tp": 2}, {"dp_shard": 2, "pp": 2}], ids=str
)
def test_a_real_rank_grows_by_what_the_dry_run_says(degrees: dict[str, int]) -> None:
    """Resident memory, which counts what no storage shows: fragments, buffers of exchanges, code."""
    parallel = ParallelConfig(**degrees)
    predicted = dry_run(LARGE, pretraining(parallel), parallel, "fp32").memory_bytes
    real = ranks.run(parallel.processes, held, LARGE, degrees, seconds=240.0)
    assert predicted == pytest.approx(real[0][1], rel=0.1)


def test_the_parameters_of_all_ranks_are_those_of_the_model() -> None:
    parallel = ParallelConfig(dp_shard=2, tp=2)
    config = pretraining(parallel)
    kept = [dry_run(SMALL, config, parallel, "fp32", rank).parameters for rank in (0, 3)]
    norms = 5 * 64  # whole on either side of tp
    assert 2 * sum(kept) == SMALL.num_parameters + norms  # of four alike


def test_what_cannot_be_tried_says_so() -> None:
    parallel = ParallelConfig(engine="deepspeed", dp_shard=2)
    with pytest.raises(GroundupError, match="without its processes"):
        dry_run(SMALL, pretraining(parallel), parallel, "fp32")


def test_a_calibrated_machine_predicts_the_step_that_it_was_measured_by() -> None:
    """With a clock by which every step takes half a second."""
    seconds = iter(range(1000))
    machine = Machine(cores=2, core_flops=1e9, bf16=False, memory=None, disk=None)
    config = pretraining(ParallelConfig()).model_copy(update={"precision": "fp32"})
    found = calibrate(SMALL, config, machine, clock=lambda: next(seconds) / 2, starting=lambda: 5.8)
    assert found.step_seconds == 0.5 and found.tokens_per_second == 256.0
    flops = 128 * SMALL.flops_per_token(64)
    assert flops / found.machine.rate("train", "fp32") + STEP_SECONDS == pytest.approx(0.5)
    assert found.machine.start_seconds("training") == pytest.approx(5.8)
    assert found.machine.start_seconds("data") == pytest.approx(2 * START_SECONDS["data"])
