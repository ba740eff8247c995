"""The verb scale: a ladder of small models on one's own corpus, fitted and extrapolated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.cli import where
from groundup.cli.comparing import print_rows
from groundup.cli.options import Blueprint, Json, Set, print_json
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.blueprint.load import LoadedBlueprint
    from groundup.pipeline.folder import RunFolder
    from groundup.planning.budget import Budget
    from groundup.planning.ladder import Rung
    from groundup.progress import Progress

LADDERS = "-scale"  # after the blueprint's name: the ladder's run folder

verbs = typer.Typer()


@verbs.command()
def scale(
    blueprint: Blueprint,
    set_: Set = None,
    flops: Annotated[
        float | None, typer.Option(min=1, metavar="FLOPS", help="The budget to spend in the end, such as 1e18.")
    ] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="The same in hours, here or on --device.")] = None,
    money: Annotated[float | None, typer.Option(min=0, help="The same in money, by --price.")] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of one device per hour.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="h100, a100, rtx4090, ...; without it this machine.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Compare other documents instead: a blueprint file, or values to set."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="The ladder's folder; without it runs/<name>-scale.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Show the ladder and train nothing.")] = False,
    json: Json = False,
) -> None:
    """Predict the best size for a budget by a ladder of small models.

    A stopped ladder resumes where it was. The fit is drawn on a page in the ladder's folder.
    """
    from dataclasses import asdict

    from groundup.blueprint.load import load
    from groundup.cli.stopping import stopping_in_one_line
    from groundup.pipeline.folder import RunFolder
    from groundup.planning.budget import Budget
    from groundup.planning.ladder import ladder
    from groundup.progress import Silent, for_terminal

    loaded = load(blueprint, set_ or ())
    _check(loaded)
    other = _other(loaded, against) if against else None
    budget = Budget(flops, hours, money, price, device, gpus)
    budget.check()
    rungs = ladder(loaded.blueprint, loaded.derived)
    if dry:
        if json:
            print_json([asdict(rung) | {"flops": rung.flops} for rung in rungs])
        else:
            _show(rungs)
        return
    folder = RunFolder(run) if run else where.run_folder_of(blueprint, loaded.blueprint.name + LADDERS)
    progress = Silent() if json else for_terminal()
    with stopping_in_one_line():
        of = _compared(loaded, other, folder, rungs, progress) if other else None
        result = of or _fitted(loaded, folder, rungs, budget, progress)
    if json:
        print_json(result)
        return
    print()
    for sentence in result["sentences"]:
        print(f"- {sentence}")
    if values := result.get("blueprint"):
        print(f"\nIn the blueprint:\n\nsize: {values['size']}\npretrain:\n  tokens: {values['pretrain.tokens']}")
    print(f"\nPage:   {result['page']}")


def _check(loaded: LoadedBlueprint) -> None:
    """Raises GroundupError where a file is missing, or nothing is pretrained."""
    from groundup.planning.needed import needed

    loaded.check_files()
    if "pretrain" not in needed(loaded.blueprint):
        raise GroundupError("this blueprint has no pretraining to scale", where="start", do="leave start out")


def _fitted(
    loaded: LoadedBlueprint, folder: RunFolder, rungs: Sequence[Rung], budget: Budget, progress: Progress
) -> dict[str, Any]:
    """Climb the ladder, fit the law, write the page."""
    from groundup.pipeline.climb import climb, prepare
    from groundup.planning.budget import advised, verdict
    from groundup.planning.study import as_json, study
    from groundup.progress import clock
    from groundup.report.ladder_page import ladder_page

    total = sum(rung.flops for rung in rungs)
    progress.say(f"{len(rungs)} models, {total:.2g} FLOPs in all, in {folder.path}")
    corpus_tokens = int(prepare(loaded, folder, progress).figures["train"]["tokens"])
    progress.say(f"{corpus_tokens:,} tokens to train on")
    measured = []
    for one, _ in climb(loaded, folder, rungs, progress):
        measured.append(one)
        held = "  held-out" if one.rung.heldout else ""
        progress.say(
            f"  {len(measured):>2} of {len(rungs)}  {one.rung.size:>6}  {one.tokens:>11,} tokens  {one.flops:.1e} FLOPs"
            f"  {clock(one.seconds):>7}  loss {one.loss:.3f}{held}"
        )
    found = study(measured, loaded.blueprint.scale.bootstrap)
    best, lines, values = advised(found, loaded.blueprint, budget, corpus_tokens)
    law = verdict(found)
    sentences = [*law, *lines]  # what to do next to the prompt in the terminal, and first on the page
    html = ladder_page(f"{loaded.blueprint.name}: scaling", found, [*lines, *law], best, values)
    return _written(folder, "index", html, as_json(found, best, values, sentences))


def _other(loaded: LoadedBlueprint, against: Sequence[str]) -> LoadedBlueprint:
    """The other side: the blueprint with other values, or another file."""
    from groundup.blueprint.load import load

    files = [one for one in against if "=" not in one]
    if len(files) > 1:
        raise GroundupError("two files to compare with", where="--against", do="compare with one at a time")
    values = [one for one in against if "=" in one]
    other = load(Path(files[0]), values) if files else load(loaded.path, [*loaded.overrides, *values])
    if other.blueprint == loaded.blueprint:
        raise GroundupError("both sides are the same", where="--against", do="name values that differ")
    _check(other)
    return other


def _compared(
    loaded: LoadedBlueprint, other: LoadedBlueprint, folder: RunFolder, rungs: Sequence[Rung], progress: Progress
) -> dict[str, Any]:
    """Train models of both sides on some rungs and compare them on common documents; write the page."""
    from groundup.evaluation.comparing.corpora import common_documents, compare_corpora, heldout_nats, heldout_sizes
    from groundup.pipeline.climb import climb, prepare
    from groundup.planning.data_forecast import as_json, data_verdict, forecast, middle_rungs
    from groundup.planning.ladder import pretraining_flops
    from groundup.report.ladder_page import data_page

    chosen = middle_rungs(rungs)
    progress.say(f"{len(chosen)} models of each side, in {folder.path}")
    sizes, others = (heldout_sizes(prepare(side, folder, progress, until="curate")) for side in (loaded, other))
    common = common_documents(sizes, sizes, others)
    progress.say(f"{len(common):,} held-out documents are in both sides")
    nats = []
    for side in (loaded, other):
        prepare(side, folder, progress)
        of_side = []
        for one, artifacts in climb(side, folder, chosen, progress):
            of_side.append(heldout_nats(artifacts, progress))
            progress.say(f"  {one.rung.size:>6}  {one.tokens:>11,} tokens  {one.flops:.1e} FLOPs  loss {one.loss:.3f}")
        nats.append(of_side)
    found = [compare_corpora(sizes, first, second, loaded.blueprint.seed) for first, second in zip(*nats, strict=True)]
    target = pretraining_flops(loaded.blueprint)
    far = forecast([one.flops for one in chosen], [one.difference.mean for one in found], target)
    sentences = data_verdict(chosen, found, far, target)
    html = data_page(f"{loaded.blueprint.name}: two corpora", chosen, found, far, target, sentences)
    return _written(folder, "data", html, as_json(chosen, found, far, target, sentences))


def _written(folder: RunFolder, name: str, html: str, result: dict[str, Any]) -> dict[str, Any]:
    """Write the page and its figures; the figures, with the page's path."""
    from json import dumps

    from groundup.artifacts.durable import write_text

    page = folder.path / "scale" / f"{name}.html"
    page.parent.mkdir(exist_ok=True)
    write_text(page, html)
    write_text(page.with_suffix(".json"), dumps(result, indent=1) + "\n")
    return {**result, "page": str(page)}


def _show(rungs: Sequence[Rung]) -> None:
    rows = [("size", "tokens", "FLOPs", "batch", "rate")]
    for rung in rungs:
        values = dict(one.split("=", 1) for one in rung.overrides)
        batch, rate = (
            values[f"pretrain.{name}"].replace("null", "by size") for name in ("batch_tokens", "learning_rate")
        )
        held = " (held-out)" if rung.heldout else ""
        rows.append((rung.size + held, f"{rung.tokens:,}", f"{rung.flops:.2g}", batch, rate))
    tokens, flops = sum(rung.tokens for rung in rungs), sum(rung.flops for rung in rungs)
    rows.append(("in all", f"{tokens:,}", f"{flops:.2g}", "", ""))
    print_rows(rows)
