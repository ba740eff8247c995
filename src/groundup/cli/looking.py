"""Verbs that look at a run: status, explain, lineage, verify, clean."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.cli import where
from groundup.cli.options import Json, Run, Set, print_json
from groundup.terminal import printable

if TYPE_CHECKING:
    from groundup.pipeline.status import Step

verbs = typer.Typer()


@verbs.command()
def status(run: Run = None, set_: Set = None, json: Json = False) -> None:
    """Show what is done, stale, interrupted or waiting."""
    from groundup.pipeline.explain import reasons
    from groundup.pipeline.graph import stages
    from groundup.pipeline.runner import summary
    from groundup.pipeline.status import State, survey
    from groundup.progress import clock

    folder, loaded = where.current(run, set_)
    steps = survey(loaded, folder, stages(loaded.blueprint))
    if json:
        print_json({"run": str(folder.path), "overrides": list(loaded.overrides), "stages": list(map(_row, steps))})
        return
    print(where.heading(folder, loaded))
    for step in steps:
        line = f"  {step.stage.name:<10} {step.state:<11}"
        if step.artifact:
            cost = step.artifact.manifest.measured
            line += (
                f" {clock(cost.seconds):>7} {cost.peak_rss_bytes / 2**20:>7,.0f} MiB  {summary(step.artifact.figures)}"
            )
        elif step.state is State.INTERRUPTED:
            line += f" {reasons(step, loaded, folder)[0]}"
        print(printable(line))


@verbs.command()
def explain(
    run: Run = None,
    stage: Annotated[str | None, typer.Argument(help="Only this stage.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show why a stage is stale, down to the value."""
    from groundup.pipeline.explain import reasons
    from groundup.pipeline.graph import check_name, stages
    from groundup.pipeline.status import survey

    folder, loaded = where.current(run, set_)
    all_stages = stages(loaded.blueprint)
    if stage is not None:
        check_name(stage, all_stages)
    steps = [step for step in survey(loaded, folder, all_stages) if stage in (None, step.stage.name)]
    if json:
        rows = [_row(step) | {"reasons": reasons(step, loaded, folder)} for step in steps]
        print_json({"run": str(folder.path), "overrides": list(loaded.overrides), "stages": rows})
        return
    print(where.heading(folder, loaded))
    for step in steps:
        for number, reason in enumerate(reasons(step, loaded, folder)):
            head = f"  {step.stage.name:<10} {step.state:<11}" if number == 0 else " " * 24
            print(printable(f"{head} {reason}"))


def _row(step: Step) -> dict[str, Any]:
    """A stage's state, JSON-ready."""
    from dataclasses import asdict

    row: dict[str, Any] = {"stage": step.stage.name, "state": str(step.state), "waits_for": list(step.waits_for)}
    if step.artifact:
        measured = step.artifact.manifest.measured
        row |= {
            "artifact": step.artifact.path.name,
            "seconds": measured.seconds,
            "peak_rss_bytes": measured.peak_rss_bytes,
            "figures": step.artifact.figures,
        }
    if step.reached:
        row["reached"] = asdict(step.reached)
    return row


@verbs.command()
def diagnose(run: Run = None, json: Json = False) -> None:
    """Show what went wrong in a run and what to try."""
    from dataclasses import asdict

    from groundup.pipeline.diagnosis import diagnose as findings

    folder = where.run_folder(run)
    remembered = folder.remembered()
    found = findings({stage: folder.artifact(stage) for stage in (remembered.stages if remembered else {})})
    if json:
        print_json([asdict(one) for one in found])
        return
    if not any(one.kind == "problem" for one in found):
        print("Nothing went wrong, as far as the figures show.")
    for one in found:
        head = f"{one.stage}: {one.what}" if one.kind == "problem" else f"Worth knowing: {one.stage}: {one.what}"
        print(printable(f"{head}\n  because  {one.evidence}\n  to try   {one.to_try}"))


@verbs.command()
def lineage(
    run: Annotated[Path, typer.Argument(help="A run folder, or a blueprint file.")],
    artifact: Annotated[str, typer.Argument(help="A stage (ppo) or an artifact (ppo-1f2e3d4c5b6a).")],
    documents: Annotated[bool, typer.Option("--documents", help="List every source document.")] = False,
    json: Json = False,
    document: Annotated[
        str | None, typer.Option(metavar="ID", help="Where a document came from and what became of it (or its origin).")
    ] = None,
) -> None:
    """List what an artifact was made from, up to the documents."""
    from collections import Counter
    from dataclasses import asdict

    from groundup.errors import GroundupError
    from groundup.pipeline import lineage as ancestry

    folder = where.run_folder(run)
    chain = folder.store.lineage(ancestry.find(folder, artifact))
    read = [one for one in chain if one.stage == "curate"]
    if json and document is None:
        rows = [
            {
                "artifact": one.path.name,
                "content": one.manifest.content,
                "inputs": list(one.manifest.key.inputs),
                "sources": dict(one.manifest.key.sources),
            }
            for one in chain
        ]
        listed = [asdict(doc) for one in read for doc in ancestry.documents(one)] if documents else []
        print_json({"artifacts": rows, "documents": listed})
        return
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
def verify(run: Run = None, json: Json = False) -> None:
    """Check every byte of a run."""
    from dataclasses import asdict

    from groundup.pipeline.verify import verify as verify_run
    from groundup.progress import Silent, for_terminal

    folder = where.run_folder(run)
    found = verify_run(folder, Silent() if json else for_terminal())
    if json:
        print_json([asdict(damage) | {"path": str(damage.path)} for damage in found])
        raise typer.Exit(int(bool(found)))
    for damage in found:
        print(printable(str(damage)))
    if found:
        print(f"{len(found)} damaged in {folder.path}")
        raise typer.Exit(1)
    print(f"{folder.path} is whole")


@verbs.command()
def clean(
    run: Run = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Also remove what interrupted stages kept.")] = False,
    json: Json = False,
) -> None:
    """Remove artifacts that the newest run does not use.

    What an interrupted stage keeps to resume from is removed only after a question, or with --yes.
    """
    from groundup.artifacts import durable
    from groundup.artifacts.store import RUN
    from groundup.planning.advice import size

    folder = where.run_folder(run)
    with folder.store.lock(RUN, wait=1.0):
        if not dry_run:
            folder.sweep()
        remembered = folder.remembered()
        unused, kept = folder.store.unused(set(remembered.stages.values()) if remembered else set())
        sizes = {path: durable.folder_bytes(path) for path in (*unused, *kept)}
        if kept and not dry_run and not yes:
            names = ", ".join(f"{path.name.rpartition('-')[0]} ({size(sizes[path])})" for path in kept)
            if not (sys.stdin.isatty() and typer.confirm(f"Remove what interrupted stages resume from: {names}?")):
                print(f"kept for interrupted stages: {names}; --yes removes it too")
                kept = []
        removed = [*unused, *kept]
        if not dry_run:
            for path in removed:
                durable.remove(path)
    if json:
        print_json([{"path": str(path), "bytes": sizes[path]} for path in removed])
        return
    for path in removed:
        print(f"{'would remove' if dry_run else 'removed'} {path.name} ({size(sizes[path])})")
    print(f"{size(sum(sizes[path] for path in removed))} in all" if removed else "Nothing to remove")
