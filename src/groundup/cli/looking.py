"""Verbs that look at a run: status, explain, lineage, clean."""

from pathlib import Path
from typing import Annotated

import typer

from groundup.cli import where
from groundup.cli.options import Run
from groundup.terminal import printable

verbs = typer.Typer()


@verbs.command()
def status(run: Run = None) -> None:
    """Show what is done, what is stale and what waits."""
    from groundup.pipeline.graph import stages
    from groundup.pipeline.runner import summary
    from groundup.pipeline.status import survey
    from groundup.progress import clock

    folder = where.run_folder(run)
    loaded = where.blueprint_of(folder)
    print(f"{folder.path}, as {loaded.path} is now")
    for step in survey(loaded, folder, stages(loaded.blueprint)):
        line = f"  {step.stage.name:<10} {step.state:<9}"
        if step.artifact:
            cost = step.artifact.manifest.measured
            line += (
                f" {clock(cost.seconds):>7} {cost.peak_rss_bytes / 2**20:>7,.0f} MiB  {summary(step.artifact.figures)}"
            )
        print(line)


@verbs.command()
def explain(run: Run = None) -> None:
    """Show why a stage is stale, down to the value."""
    from groundup.pipeline.explain import reasons
    from groundup.pipeline.graph import stages
    from groundup.pipeline.status import survey

    folder = where.run_folder(run)
    loaded = where.blueprint_of(folder)
    print(f"{folder.path}, as {loaded.path} is now")
    for step in survey(loaded, folder, stages(loaded.blueprint)):
        for number, reason in enumerate(reasons(step, loaded, folder.store)):
            head = f"  {step.stage.name:<10} {step.state:<9}" if number == 0 else " " * 22
            print(f"{head} {reason}")


@verbs.command()
def lineage(
    run: Annotated[Path, typer.Argument(help="A run folder, or a blueprint file.")],
    artifact: Annotated[str, typer.Argument(help="A stage (ppo) or an artifact (ppo-1f2e3d4c5b6a).")],
    documents: Annotated[bool, typer.Option("--documents", help="List every source document.")] = False,
    document: Annotated[
        str | None, typer.Option(metavar="ID", help="Where a document came from and what became of it (or its origin).")
    ] = None,
) -> None:
    """List what an artifact was made from, up to the documents."""
    from collections import Counter

    from groundup.errors import GroundupError
    from groundup.pipeline import lineage as ancestry

    folder = where.run_folder(run)
    chain = folder.store.lineage(ancestry.find(folder, artifact))
    read = [one for one in chain if one.stage == "curate"]
    if document is not None:
        found = [entry for one in read for entry in ancestry.found(one, document)]
        if not found:
            raise GroundupError(f"{artifact} was made from no document with the id or origin {document}")
        for entry in found:
            print(printable("\n".join(ancestry.account(entry))))
        return
    for one in chain:
        inputs = ", ".join(one.manifest.key.inputs) or "sources"
        print(f"{one.path.name:<24} content {one.manifest.content[:12]}  from {inputs}")
        for name, digest in one.manifest.key.sources.items():
            print(printable(f"{'':<24} source {name}: {digest if len(digest) < 64 else digest[:12]}"))
    for one in read:
        if documents:
            for doc in ancestry.documents(one):
                line = f"{doc.id}  {doc.split}  {doc.source}  {doc.origin}  {doc.licence or '-'}"
                print(printable(f"{line}  {doc.title}"))
        else:
            counts = Counter((doc.source, doc.licence) for doc in ancestry.documents(one))
            for (source, licence), count in counts.most_common():
                print(printable(f"{count:>8,} documents of {source}, licence {licence or 'not stated'}"))


@verbs.command()
def clean(run: Run = None) -> None:
    """Remove artifacts that the newest run does not use.

    Also removes what abandoned stages kept for their next try.
    """
    from groundup.artifacts.store import RUN

    folder = where.run_folder(run)
    with folder.store.lock(RUN, wait=1.0):
        remembered = folder.remembered()
        removed = folder.store.clean(set(remembered.stages.values()) if remembered else set())
    for path in removed:
        print(f"removed {path.name}")
    if not removed:
        print("Nothing to remove")
