"""Megatron's groups of processes for a layout of ours. Both number processes alike: tp, then cp, then dp, then pp."""

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed

from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.process_group import backend_of

VIRTUAL = 2  # stages per process in the interleaved schedule


def virtual_stages(parallel: ParallelConfig) -> int | None:
    """Stages that a process has of the pipeline; None: the pipeline is a plain one."""
    return VIRTUAL if parallel.pp > 1 and parallel.schedule == "interleaved" else None


def enter(parallel: ParallelConfig, device: torch.device) -> None:
    """Make Megatron's groups; those of an engine before are given up. Collective.

    A single process, which has no job to be in, makes one of its own: Megatron can't do without.
    """
    if not dist.is_initialized():
        assert parallel.processes == 1, "several processes join their job before"
        dist.init_process_group(
            backend_of(device),
            store=dist.HashStore(),  # type: ignore[attr-defined]
            rank=0,
            world_size=1,
        )
    leave()
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tp,
        pipeline_model_parallel_size=parallel.pp,
        virtual_pipeline_model_parallel_size=virtual_stages(parallel),
        context_parallel_size=parallel.cp,
    )
    with torch.random.fork_rng():
        model_parallel_cuda_manual_seed(0)  # nothing is drawn here, but Megatron asks for its states all the same


def leave() -> None:
    """Give Megatron's groups up."""
    if parallel_state.model_parallel_is_initialized():
        parallel_state.destroy_model_parallel()
