"""The verb plan: what a blueprint will take, and what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.cli.comparing import print_rows
from groundup.cli.options import Blueprint, Json, Set, print_json
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.blueprint.load import LoadedBlueprint
    from groundup.parallel.configuration import ParallelConfig
    from groundup.planning.forecast import Plan

verbs = typer.Typer()


@verbs.command()
def plan(
    blueprint: Blueprint,
    set_: Set = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Pretraining on another device: h100, a100, rtx4090, cpu, ...")
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="How many of them; without it as `parallel` asks.")] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of one of them per hour.")] = None,
    calibrated: Annotated[
        bool, typer.Option("--calibrate", help="Take some steps of training here first, and predict times from them.")
    ] = False,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Build, cut and shard the model without data, as a process of `parallel` would."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show what a blueprint will take, and what to change."""
    from groundup.blueprint.layouts import layouts
    from groundup.blueprint.load import load
    from groundup.planning import advice, devices, estimate, on_device, processes

    if device is None and (gpus is not None or price is not None):
        raise GroundupError("--gpus and --price need a device", where="--device", do="name one, as in --device h100")
    loaded = load(blueprint, set_ or ())
    loaded.check_files()
    planned = estimate.plan(loaded.blueprint, base=loaded.base)
    spread = layouts(loaded.blueprint)
    if "pretrain" not in spread and (device is not None or calibrated or dry):
        option = "--device" if device is not None else "--calibrate" if calibrated else "--dry-run"
        raise GroundupError("this blueprint has no pretraining to plan", where=option, do="plan without it")
    sections: dict[str, Sequence[str]] = {}
    if calibrated:
        planned, sections["Calibrated"] = _calibrated(planned, loaded)
    optimal = advice.compute_optimal(planned)
    sections["Compute"] = [optimal] if optimal else []
    if device is not None:
        layout = on_device.layout_for(spread["pretrain"], gpus)
        chosen = devices.device_of(device, planned.machine)
        sections["On that device"] = on_device.on_device(planned, loaded.blueprint.pretrain, layout, chosen, price)
    if dry:
        sections["Dry run"] = _dry_run(planned, loaded, on_device.layout_for(spread["pretrain"], gpus))
    sections["Processes"] = processes.processes(planned, spread)
    sections["To change"] = [*advice.advice(planned), *processes.crowded(planned, spread)]
    sections["Taken for granted"] = planned.assumed
    if json:
        print_json(_as_json(planned, loaded.blueprint.name, sections))
        return
    print(f"{loaded.blueprint.name}: {advice.headline(planned)}\n")
    print_rows(advice.table(planned))
    for title, sentences in sections.items():
        if sentences:
            print(f"\n{title}:")
            for sentence in sentences:
                print(f"- {sentence}")


def _calibrated(planned: Plan, loaded: LoadedBlueprint) -> tuple[Plan, list[str]]:
    from groundup.planning.calibration import calibrate
    from groundup.planning.estimate import plan as again

    answers = loaded.blueprint.sft if "sft" in planned.seconds else None
    found = calibrate(planned.model, loaded.blueprint.pretrain, planned.machine, answers)
    speed = f"{found.step_seconds:.3g} seconds: {found.tokens_per_second:,.0f} tokens/s"
    line = f"{found.steps} steps of pretraining at {speed}"
    if answers:
        line += "; training on answers and answering were timed too"
    return again(loaded.blueprint, found.machine, base=loaded.base), [line]


def _dry_run(planned: Plan, loaded: LoadedBlueprint, layout: ParallelConfig) -> list[str]:
    from groundup.planning.advice import size
    from groundup.planning.dry_run import dry_run, ranks_to_try

    lines = []
    for rank in ranks_to_try(layout):
        found = dry_run(planned.model, loaded.blueprint.pretrain, layout, planned.precision, rank)
        parts = ", ".join(f"{part} {size(amount)}" for part, amount in found.memory.items())
        lines.append(
            f"rank {rank} of {layout.processes} keeps {found.parameters:,} of {planned.model.num_parameters:,} "
            f"parameters; {size(found.memory_bytes)} without the program ({parts})"
        )
    return lines


def _as_json(planned: Plan, name: str, sections: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    from dataclasses import asdict

    stages = [
        asdict(stage) | {"memory_bytes": stage.memory_bytes, "disk_bytes": stage.disk_bytes} for stage in planned.stages
    ]
    return {
        "name": name,
        "model": planned.model.model_dump(mode="json"),
        "num_parameters": planned.model.num_parameters,
        "parameters": planned.parameters,
        "precision": planned.precision,
        "machine": asdict(planned.machine),
        "corpus": asdict(planned.corpus),
        "stages": stages,
        "seconds": sum(planned.seconds.values()),
        "flops": planned.flops,
        "memory_bytes": planned.peak.memory_bytes,
        "disk_bytes": planned.disk_bytes,
        "sections": {title: list(sentences) for title, sentences in sections.items()},
    }
