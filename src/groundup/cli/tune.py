"""`groundup tune`: values found by trying them on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli import where
from groundup.cli.options import Blueprint, Set

if TYPE_CHECKING:
    from groundup.blueprint.load import LoadedBlueprint
    from groundup.parallel.engine import Engine
    from groundup.pipeline.folder import RunFolder
    from groundup.training.pretraining import Pretraining

verbs = typer.Typer(help="Find values by trying them on this machine.", no_args_is_help=True)

RunOption = Annotated[Path | None, typer.Option("--run", metavar="DIR", help="The run folder; without it runs/<name>.")]


@verbs.command()
def batch(blueprint: Blueprint, set_: Set = None, run: RunOption = None) -> None:
    """Find how many sequences to take at a time: what fits the memory, and what is fastest.

    The batch stays as it is; only `accumulate` changes. Makes the blueprint's token shards first, where they are not.
    """
    from groundup.cli.stopping import stopping_in_one_line

    with stopping_in_one_line():
        from groundup.errors import GroundupError
        from groundup.machine import available_memory
        from groundup.planning.advice import size
        from groundup.training.batch_size import rows_of
        from groundup.training.telemetry.recorder import memory
        from groundup.training.tuning.micro_batches import fastest, try_micro_batches

        loaded, _, engine, objective = _prepared(blueprint, set_, run)
        config, length = loaded.blueprint.pretrain, objective.train.length
        assert config.batch_tokens
        free = available_memory()
        room = None if free is None else free + memory(engine.device)["peak_rss_bytes"]
        print(f"{'sequences':>9}  {'accumulate':>10}  {'tokens/s':>10}  {'memory':>8}")
        tried = []
        for one in try_micro_batches(engine, objective, rows_of(config.batch_tokens, length, 1), room=room):
            tried.append(one)
            speed = f"{one.tokens_per_second:,.0f}" if one.fits else "no room"
            taken = size(one.memory_bytes) if one.memory_bytes else ""
            print(f"{one.rows:>9}  {one.accumulate:>10}  {speed:>10}  {taken:>8}", flush=True)
        best = fastest(tried)
        if best is None:
            raise GroundupError(
                "not even one sequence fits the memory",
                do="choose a smaller size, a shorter pretrain.sequence, or pretrain.activation_checkpointing: full",
            )
        largest = max(one.rows for one in tried if one.fits)
        print(f"\n{largest} sequences at a time fit; {best.rows} are fastest. In the blueprint:\n\npretrain:")
        print(f"  batch_tokens: {best.rows * best.accumulate * length}\n  accumulate: {best.accumulate}")


@verbs.command()
def rate(
    blueprint: Blueprint,
    set_: Set = None,
    run: RunOption = None,
    from_: Annotated[float, typer.Option("--from", help="The lowest learning rate.")] = 1e-6,
    to: Annotated[float, typer.Option("--to", help="The highest learning rate.")] = 10.0,
    steps: Annotated[int, typer.Option(min=20, help="Steps from the one to the other.")] = 200,
) -> None:
    """Suggest a learning rate: it rises until the loss blows up (arXiv 1506.01186).

    Makes the blueprint's token shards first, where they are not. The curve is written to the run folder.
    """
    from groundup.cli.stopping import stopping_in_one_line

    with stopping_in_one_line():
        from groundup.errors import GroundupError
        from groundup.progress import for_terminal
        from groundup.training.tuning.rate import plot, range_test, write_csv

        if not 0 < from_ < to:
            raise GroundupError(
                f"can't rise from {from_:g} to {to:g}", do="give --from and --to above 0, in this order"
            )
        loaded, folder, engine, objective = _prepared(blueprint, set_, run)
        clip = loaded.blueprint.pretrain.clip_norm
        with for_terminal().task("rate", steps, "steps") as task:
            found = range_test(
                engine,
                objective,
                lowest=from_,
                highest=to,
                steps=steps,
                clip_norm=clip,
                report=lambda step, rate, loss: task.advance(1, note=f"loss {loss:.3f} at {rate:.1e}"),
            )
        path = folder.path / "tune" / "rate.csv"
        write_csv(found, path)
        end = "blew up" if found.blew_up else "had not blown up"
        print(f"{plot(found)}\n\nThe loss {end} at {found.rates[-1]:.2g}; every step is in {path}.")
        print(f"In the blueprint:\n\npretrain:\n  learning_rate: {found.suggested:g}")


def _prepared(
    path: Path, set_: list[str] | None, run: Path | None
) -> tuple[LoadedBlueprint, RunFolder, Engine, Pretraining]:
    """The blueprint, its run folder with token shards that are up to date, and what pretraining would begin with."""
    from groundup.blueprint.load import load
    from groundup.errors import GroundupError
    from groundup.parallel.configuration import ParallelConfig
    from groundup.pipeline import runner
    from groundup.pipeline.folder import RunFolder
    from groundup.pipeline.graph import stages
    from groundup.progress import for_terminal

    loaded = load(path, set_ or ())
    loaded.check_files()
    config = loaded.blueprint.pretrain
    if (config.parallel or loaded.blueprint.parallel) != ParallelConfig():
        raise GroundupError(
            "this tries one process, and the blueprint spreads pretraining over several or over another engine",
            where="parallel",
            do="tune without it, then divide batch_tokens by the processes that share a batch",
        )
    folder = RunFolder(run) if run else where.run_folder_of(path, loaded.blueprint.name)
    all_stages = stages(loaded.blueprint)
    for name in ("curate", "tokenizer", "tokens"):
        runner.run(loaded, folder, all_stages, runner.Selection(only=name), for_terminal())

    from groundup.parallel.device import settle
    from groundup.tokenizer.tokenizer import Tokenizer
    from groundup.training.stage import begin

    settle()
    tokenizer = Tokenizer.load(folder.artifact("tokenizer").file("tokenizer.json"))
    engine, objective = begin(config, folder.artifact("tokens").path, tokenizer, loaded.blueprint.seed)
    return loaded, folder, engine, objective
