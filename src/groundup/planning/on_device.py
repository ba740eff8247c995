"""Pretraining on devices that are not here: time, cost, memory of a process, what it sends; as sentences."""

from groundup.errors import GroundupError
from groundup.parallel.advice import shown
from groundup.parallel.configuration import ParallelConfig
from groundup.planning.advice import duration, short, size
from groundup.planning.devices import Device
from groundup.planning.forecast import Plan
from groundup.planning.memory import Checkpointing
from groundup.planning.ranks import RankBatch, bubble, rank_memory, sent_bytes, tokens_per_second
from groundup.training.configuration import PretrainConfig

MODES: tuple[Checkpointing, ...] = ("none", "selective", "full")
ROOM = 0.9  # of a device's memory; the rest is its context, buffers of communication, what an allocator can't use


def layout_for(parallel: ParallelConfig, devices: int | None) -> ParallelConfig:
    """The blueprint's layout; where it has one process, and there are more devices, sharded over all of them.

    Raises:
        GroundupError: the layout is for another number of devices.
    """
    if devices is None or devices == parallel.processes:
        return parallel
    if parallel.processes == 1:
        return parallel.model_copy(update={"dp_shard": devices})
    raise GroundupError(
        f"parallel asks for {parallel.processes} processes, not {devices}",
        where="--gpus",
        do=f"leave it out, or set parallel's degrees so that they multiply to {devices}",
    )


def on_device(
    plan: Plan, config: PretrainConfig, parallel: ParallelConfig, device: Device, price: float | None = None
) -> list[str]:
    """What pretraining takes on `parallel.processes` devices.

    Args:
        plan: the blueprint's.
        config: its `pretrain:` section, filled in.
        parallel: a layout from `layout_for`.
        price: of a device per hour, in any currency.
    """
    stage, model = plan.stage("pretrain"), plan.model
    assert config.batch_tokens
    sequence = min(config.sequence, config.model.context)
    rows = config.batch_tokens / sequence / config.accumulate / parallel.dp
    if rows < 1:
        raise GroundupError(
            f"a micro-batch has too few sequences for {parallel.dp} data-parallel processes",
            where="pretrain.batch_tokens",
            do=f"raise it to {sequence * config.accumulate * parallel.dp:,}, or plan for fewer devices",
        )
    batch = RankBatch(round(rows), sequence, config.accumulate)
    lost = bubble(parallel, batch.micro_batches)
    rate = tokens_per_second(model, device, sequence, lost)
    seconds = stage.tokens / rate / parallel.processes
    hours = seconds / 3600 * parallel.processes
    cost = f", {hours * price:,.2f} at {price:g} per device and hour" if price is not None else ""
    layout = f" ({shown(parallel)})" if parallel.processes > 1 else ""
    lines = [
        f"{short(stage.tokens)} tokens in about {duration(seconds)} on {parallel.processes} x {device.name}"
        f"{layout}: {rate:,.0f} tokens/s each, {hours:,.1f} device hours{cost}",
        f"assumed: {device.mfu:.0%} of {device.flops / 1e12:,.3g} TFLOP/s ({device.source}); small models "
        "and batches reach less",
    ]
    if parallel.pp > 1:
        lines.append(f"the pipeline waits {lost:.0%} of a step (schedule {parallel.schedule})")
    if sent := sent_bytes(model, parallel, batch):
        lines.append("each process sends per step: " + ", ".join(f"{size(amount)} {by}" for by, amount in sent.items()))
    for mode in MODES:
        parts = rank_memory(model, parallel, batch, mode)
        total = sum(parts.values())
        fits = "" if not device.memory or total <= ROOM * device.memory else f", more than {size(device.memory)} hold"
        by_part = ", ".join(f"{part} {size(amount)}" for part, amount in parts.items())
        lines.append(
            f"memory of a process, activation checkpointing {mode}: {size(total)} without the program{fits} ({by_part})"
        )
    return lines
