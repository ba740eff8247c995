"""Megatron's groups of processes for a layout of ours. Both number processes alike: tp, then cp, then dp, then pp."""

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.process_group import backend_of

VIRTUAL = 2  # stages per process in the interleaved schedule


def virtual_stages(parallel: ParallelConfig) -> int | None:
    """Stages that a process has of the pipeline; None: the pipeline is a plain one."""
    return VIRTUAL if parallel.pp > 1 and parallel.schedule == "interleaved" else None


def check(config: LLMConfig, parallel: ParallelConfig, accumulate: int) -> None:
    """Raises GroundupError where Megatron, as it is used here, can't do what the layout asks for."""

    def refuse(field: str, what: str, do: str) -> None:
        raise GroundupError(what, where=f"parallel.{field}", do=do)

    stages = parallel.pp * (virtual_stages(parallel) or 1)
    if parallel.ep > 1:
        refuse("ep", "the Megatron engine has no expert parallelism", "set it to 1, or parallel.engine to torch")
    if parallel.offload:
        refuse("offload", "the Megatron engine keeps all on the device", "set it to false, or another engine")
    if parallel.deepspeed is not None:
        refuse("deepspeed", "these are DeepSpeed's settings", "leave them out, or set parallel.engine to deepspeed")
    if parallel.dp_replicate > 1 and parallel.dp_shard > 1:
        refuse(
            "dp_replicate",
            "Megatron's optimizer is sharded over all data-parallel processes or over none",
            f"set dp_shard to {parallel.dp} and dp_replicate to 1, or the other way round",
        )
    if parallel.pp > 1 and parallel.schedule not in ("1f1b", "interleaved"):
        refuse("schedule", f"Megatron has no schedule {parallel.schedule}", "set it to 1f1b or interleaved")
    if config.num_hidden_layers % stages:
        refuse("pp", f"{config.num_hidden_layers} layers make no {stages} equal stages", "choose a divisor")
    if virtual_stages(parallel) and accumulate % parallel.pp:
        refuse(
            "schedule",
            f"interleaved stages need a multiple of {parallel.pp} micro-batches, not {accumulate}",
            "change accumulate, or set the schedule to 1f1b",
        )
    for field in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if getattr(config, field) % parallel.tp:
            refuse("tp", f"{field} {getattr(config, field)} is no multiple of tp {parallel.tp}", "choose a divisor")


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
