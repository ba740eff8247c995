"""Verbs that make things: new, run, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli import where
from groundup.cli.options import Blueprint, Run, Set

if TYPE_CHECKING:
    from groundup.artifacts import Artifact, Figures
    from groundup.planning.forecast import StagePlan

MAX_FINDINGS = 3  # lines at the end of a run
MARKS = {"problem": "!", "note": "-"}

verbs = typer.Typer()


@verbs.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write it into.")],
    from_: Annotated[str | None, typer.Option("--from", metavar="NAME", help="A blueprint of the gallery.")] = None,
) -> None:
    """Write a commented blueprint to edit."""
    from groundup.blueprint import gallery

    blueprint, _ = gallery.write(from_ or gallery.DEFAULT, folder)
    print(f"Wrote {blueprint}. Edit it, then: groundup run {blueprint}")


@verbs.command()
def run(
    blueprint: Blueprint,
    set_: Set = None,
    run_: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="The run folder; without it runs/<name> by the blueprint."),
    ] = None,
    as_written: Annotated[
        bool, typer.Option("--as-written", help="Drop the --set values of the newest run instead of using them again.")
    ] = False,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Redo this stage and all that is made from it.")
    ] = None,
    only: Annotated[str | None, typer.Option("--only", metavar="STAGE", help="Do this stage alone.")] = None,
    force: Annotated[
        list[str] | None, typer.Option("--force", metavar="STAGE", help="Redo this stage even if it is up to date.")
    ] = None,
) -> None:
    """Execute a blueprint; a stopped run resumes where it was. Started by torchrun or srun it joins that job."""
    from groundup.cli.stopping import stopping_in_one_line
    from groundup.pipeline import coordination
    from groundup.pipeline import job as jobs

    job = jobs.find()
    if job is not None and job.rank > 0:
        raise typer.Exit(coordination.follow(job))
    with stopping_in_one_line(), coordination.leading(job) as make:
        from groundup.blueprint.load import load
        from groundup.pipeline import runner
        from groundup.pipeline.folder import RunFolder
        from groundup.pipeline.graph import processes_of, stages
        from groundup.progress import for_terminal

        loaded = load(blueprint, set_ or ())
        folder = RunFolder(run_) if run_ else where.run_folder_of(blueprint, loaded.blueprint.name)
        if overrides := where.overrides(folder, set_, as_written):
            loaded = load(blueprint, overrides)
            if not set_:
                print(f"{where.heading(folder, loaded)}, as the newest run; --as-written drops it")
        loaded.check_files()
        all_stages = stages(loaded.blueprint)
        coordination.check_sizes(job, processes_of(all_stages, loaded.blueprint))
        selection = runner.Selection(only=only, from_=from_, force=frozenset(force or ()))

        def forecast(figures: Mapping[str, Figures]) -> Mapping[str, StagePlan]:
            from groundup.planning.estimate import plan

            planned = plan(loaded.blueprint, figures=figures, base=loaded.base)
            return {stage.stage: stage for stage in planned.stages}

        made = runner.run(loaded, folder, all_stages, selection, for_terminal(), forecast, make=make)
        if made.made:
            from groundup.planning import predicted

            rows = predicted.compare(folder.predicted(), {name: made.artifacts[name] for name in made.made})
            for line in (predicted.summary(rows), *_findings(made.artifacts)):
                if line:
                    print(line)
        for what, path, hint in (
            ("Report", "report/index.html", str(folder.path / "report" / "index.html")),
            ("Chat", "model", f"groundup chat {folder.path}"),
        ):
            if (folder.path / path).exists():
                print(f"{what + ':':<8}{hint}")


def _findings(artifacts: Mapping[str, Artifact]) -> list[str]:
    """What went wrong and what is worth knowing, in at most three lines."""
    from groundup.pipeline.diagnosis import diagnose
    from groundup.terminal import printable

    found = [f"{MARKS[one.kind]} {printable(str(one))}" for one in diagnose(artifacts)]
    more = [f"  and {len(found) - 2} more: groundup diagnose"] if len(found) > MAX_FINDINGS else []
    return [*found[: MAX_FINDINGS - len(more)], *more]


@verbs.command()
def report(
    run: Run = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also as report.pdf, set by typst (extra guide).")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Watch a run while it works, on this machine's address.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --live; 0: any free one.")] = 8089,
) -> None:
    """Make a run's report from its newest artifacts."""
    from groundup.cli.stopping import stopping_in_one_line

    if live:
        from groundup.report.live import serve_live

        watched = where.run_folder(run, must_exist=False)
        with stopping_in_one_line("stopped watching"):
            serve_live(
                watched, port, lambda address: print(f"Watch {watched.path} at {address} (Ctrl-C ends)", flush=True)
            )
        return
    from groundup.pipeline import runner
    from groundup.pipeline.graph import stages

    folder = where.run_folder(run)
    loaded = where.executed_blueprint_of(folder)
    all_stages = stages(loaded.blueprint)
    settled = {stage.name: folder.artifact(stage.name) for stage in all_stages if stage.name != "report"}
    with stopping_in_one_line():
        redrawn = runner.Selection(only="report", force=frozenset({"report"}))  # by today's groundup
        runner.run(loaded, folder, all_stages, redrawn, settled=settled)
    print(folder.path / "report" / "index.html")
    if pdf:
        from groundup.report.pdf import write_report_pdf

        print(write_report_pdf(folder.copy("report") / "index.html", folder.path / "report.pdf"))
