"""Which layers a stage gets, and which numbers of micro-batches a schedule takes."""

from itertools import combinations

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
)

import ranks
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.schedules import assign, stages_per_process, suits, too_few

SCHEDULES = ["gpipe", "1f1b", "interleaved", "zero_bubble"]
COUNTS = range(1, 14)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 4), st.integers(0, 20))
def test_the_dearest_stage_is_as_cheap_as_can_be(costs: list[int], stages: int, head: int) -> None:
    """Against all ways to cut."""
    stages = min(stages, len(costs))

    def dearest(cuts: list[int]) -> int:
        ends = [*cuts, len(costs)]
        parts = [sum(costs[a:b]) for a, b in zip([0, *cuts], ends, strict=True)]
        return max([*parts[:-1], parts[-1] + head])

    best = min(dearest(list(cuts)) for cuts in combinations(range(1, len(costs)), stages - 1))
    layers = assign([float(cost) for cost in costs], stages, head)
    assert [layer for part in layers for layer in part] == list(range(len(costs)))
    assert len(layers) == stages and all(layers)
    assert dearest([part.start for part in layers[1:]]) == best


def test_layers_are_shared_evenly_and_the_head_counts() -> None:
    assert list(map(len, assign([1.0] * 8, 4))) == [2, 2, 2, 2]
    assert list(map(len, assign([1.0] * 8, 2, head=2.0))) == [5, 3]


def takes(pp: int) -> dict[str, list[int]]:
    """The numbers of micro-batches that torch's schedules take."""
    rank, found = dist.get_rank(), {}
    classes = [ScheduleGPipe, Schedule1F1B, ScheduleInterleaved1F1B, ScheduleInterleavedZeroBubble]
    for schedule, made in zip(SCHEDULES, classes, strict=True):
        each, taken = stages_per_process(ParallelConfig(pp=pp, schedule=schedule)), list[int]()
        for count in COUNTS:
            numbers = range(rank, pp * each, pp)
            stages = [PipelineStage(nn.Linear(1, 1), i, pp * each, torch.device("cpu")) for i in numbers]
            try:
                made(stages[0] if made in (ScheduleGPipe, Schedule1F1B) else stages, count, torch.sum)
                taken.append(count)
            except ValueError:
                pass
        found[schedule] = taken
    return found


@pytest.mark.parametrize("pp", [2, 3])
def test_numbers_of_micro_batches_are_those_that_torch_takes(pp: int) -> None:
    for found in ranks.run(pp, takes, pp):
        for schedule in SCHEDULES:
            parallel = ParallelConfig(pp=pp, schedule=schedule)
            assert found[schedule] == [count for count in COUNTS if suits(parallel, count)]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("pp", [2, 3, 4])
def test_an_error_names_a_number_that_suits(pp: int, schedule: str) -> None:
    parallel = ParallelConfig(pp=pp, schedule=schedule)
    for count in COUNTS:
        if not suits(parallel, count):
            assert suits(parallel, int(too_few(parallel, count).split()[-1]))
