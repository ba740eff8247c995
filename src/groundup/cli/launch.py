"""`groundup launch`: write what starts a blueprint on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli.options import Blueprint, Set

if TYPE_CHECKING:
    from collections.abc import Callable

    from groundup.pipeline.launch.cluster import Cluster

verbs = typer.Typer(help="Write a script or manifest that runs a blueprint on a cluster.", no_args_is_help=True)

Nodes = Annotated[int, typer.Option(min=1, help="Machines.")]
PerNode = Annotated[
    int | None,
    typer.Option("--gpus-per-node", min=1, help="Processes on each; without it as many as the blueprint asks for."),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write it; - for the terminal.")]
RunFolder = Annotated[str | None, typer.Option("--run", metavar="DIR", help="The run folder, as the nodes see it.")]


@verbs.command()
def slurm(
    blueprint: Blueprint,
    set_: Set = None,
    nodes: Nodes = 1,
    per_node: PerNode = None,
    run: RunFolder = None,
    out: Out = None,
) -> None:
    """Write a batch script for sbatch."""
    from groundup.pipeline.launch.slurm import script

    _write(script, "sbatch", "sbatch", _cluster(blueprint, set_, nodes, per_node, run), out)


@verbs.command()
def torchrun(
    blueprint: Blueprint,
    set_: Set = None,
    nodes: Nodes = 1,
    per_node: PerNode = None,
    run: RunFolder = None,
    out: Out = None,
) -> None:
    """Write a script that calls torchrun, for machines started by hand."""
    from groundup.pipeline.launch.torchrun import script

    _write(script, "sh", "bash", _cluster(blueprint, set_, nodes, per_node, run), out)


@verbs.command()
def k8s(
    blueprint: Blueprint,
    set_: Set = None,
    nodes: Nodes = 1,
    per_node: PerNode = None,
    run: RunFolder = None,
    out: Out = None,
    pytorchjob: Annotated[bool, typer.Option("--pytorchjob", help="A PyTorchJob in place of a JobSet.")] = False,
    image: Annotated[str | None, typer.Option(metavar="NAME", help="A container with groundup in it.")] = None,
) -> None:
    """Write a manifest for Kubernetes: a JobSet, or a PyTorchJob."""
    from dataclasses import replace

    from groundup.pipeline.launch import kubernetes

    cluster = _cluster(blueprint, set_, nodes, per_node, run)
    cluster = replace(cluster, image=image) if image else cluster
    manifest = kubernetes.pytorchjob if pytorchjob else kubernetes.jobset
    _write(manifest, "yaml", "kubectl apply -f", cluster, out)


def _cluster(blueprint: Path, set_: list[str] | None, nodes: int, per_node: int | None, run: str | None) -> Cluster:
    from groundup.blueprint.load import load
    from groundup.parallel.advice import shown
    from groundup.pipeline.graph import processes_of, stages
    from groundup.pipeline.launch.cluster import Cluster, spread

    loaded = load(blueprint, set_ or ())
    processes = processes_of(stages(loaded.blueprint), loaded.blueprint)
    each = spread(processes, nodes, per_node)
    layout = shown(loaded.blueprint.parallel)
    return Cluster(loaded.blueprint.name, str(blueprint), nodes, each, layout, tuple(set_ or ()), run)


def _write(text: Callable[[Cluster], str], ending: str, start: str, cluster: Cluster, out: Path | None) -> None:
    from groundup.errors import GroundupError

    if out == Path("-"):
        print(text(cluster), end="")
        return
    path = out or Path(f"{cluster.name}.{ending}")
    if path.exists():
        raise GroundupError("is there already", where=str(path), do="name another with --out, or remove it")
    path.write_text(text(cluster), encoding="utf-8")
    print(f"Wrote {path}. Edit it, then: {start} {path}")
