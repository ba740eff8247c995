"""What each process of a layout holds and reads, as sentences."""

from collections.abc import Mapping

from groundup.parallel.advice import shown
from groundup.parallel.configuration import ParallelConfig
from groundup.planning.advice import size
from groundup.planning.forecast import Plan, StagePlan

STATE = ("weights", "gradients", "optimizer state")


def processes(plan: Plan, layouts: Mapping[str, ParallelConfig]) -> list[str]:
    """A sentence for each layout of several processes; empty where there is none.

    Args:
        layouts: of the training stages, by name.
    """
    together: dict[ParallelConfig, list[str]] = {}
    for stage, parallel in layouts.items():
        if parallel.processes > 1:
            key = next((one for one in together if one == parallel), parallel)
            together.setdefault(key, []).append(stage)
    return [_sentence(plan, parallel, stages) for parallel, stages in together.items()]


def crowded(plan: Plan, layouts: Mapping[str, ParallelConfig]) -> list[str]:
    """What to say where more processes than cores would run on this machine."""
    most = max((parallel.processes for parallel in layouts.values()), default=1)
    cores = plan.machine.cores
    if most <= cores or plan.machine.accelerator:
        return []
    return [
        f"parallel asks for {most} processes and this machine has {cores} core{'s' * (cores > 1)}: run it on machines "
        "with a device for each (`groundup launch`), or lower parallel's degrees"
    ]


def _sentence(plan: Plan, parallel: ParallelConfig, stages: list[str]) -> str:
    largest = max((plan.stage(name) for name in stages), key=_state)
    held, whole = sum(held_bytes(largest, parallel).values()), _state(largest)
    reads = f", and reads 1/{parallel.dp} of each batch" if parallel.dp > 1 else ""
    return (
        f"{', '.join(stages)}: {parallel.processes} processes, {shown(parallel)}; each holds about {size(held)} of the "
        f"{size(whole)} of {', '.join(STATE[:-1])} and {STATE[-1]}{reads}"
    )


def held_bytes(stage: StagePlan, parallel: ParallelConfig) -> dict[str, int]:
    """Bytes of weights, gradients and optimizer state that one process of a layout holds between steps, by part."""
    over = {part: shards(part, parallel) for part in STATE}
    return {part: -(-stage.memory[part] // over[part]) for part in STATE if part in stage.memory}


def shards(part: str, parallel: ParallelConfig) -> int:
    """Over how many processes a part is spread."""
    data = parallel.dp_shard * (parallel.cp if parallel.engine == "torch" else 1)
    match parallel.engine:
        case "deepspeed":
            sharded = {"weights": 3, "gradients": 2, "optimizer state": 1}[part] <= parallel.zero_stage
        case "megatron":
            sharded = part == "optimizer state"  # its distributed optimizer
        case "torch":
            sharded = True
    return parallel.tp * parallel.pp * (data if sharded else 1)


def _state(stage: StagePlan) -> int:
    return sum(stage.memory.get(part, 0) for part in STATE)
