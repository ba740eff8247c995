"""Verbs over several runs: runs, compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli import where
from groundup.cli.options import Json, print_json
from groundup.errors import GroundupError
from groundup.terminal import printable

if TYPE_CHECKING:
    from groundup.report.runs_compared import ComparedRuns

COMPARISONS = "comparisons"  # the folder next to the runs

verbs = typer.Typer()


@verbs.command()
def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to look: run folders in it and in runs/.")
    ] = Path(),
    json: Json = False,
) -> None:
    """List the runs below a folder, the newest last."""
    from dataclasses import asdict

    from groundup.pipeline.runs import runs_below
    from groundup.planning.advice import short, size
    from groundup.progress import clock

    found = runs_below(folder)
    if json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        raise GroundupError("there is no run below it", where=str(folder), do="`groundup run BLUEPRINT` makes one")
    rows = [("run", "state", "size", "documents", "bits/byte", "exact", "gain", "time", "disk", "changed (UTC)")]
    for one in found:
        rows.append(
            (
                printable(str(one.path)),
                one.state,
                short(one.parameters) if one.parameters else "",
                f"{one.documents:,}" if one.documents is not None else "",
                f"{one.bits_per_byte:.3f}" if one.bits_per_byte is not None else "",
                f"{one.exact:.1%}" if one.exact is not None else "",
                f"{100 * one.gain:+.1f}" if one.gain is not None else "",
                clock(one.seconds),
                size(one.disk_bytes),
                (one.changed or "").replace("T", " ").rstrip("Z"),
            )
        )
    print_rows(rows, left=2)
    print("\nexact: of the last model, on what was taught; gain: points of token F1 by alignment, in unseen phrasings")


@verbs.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders or blueprint files.")],
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Of the HTML page; without it next to the first run.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare runs with the first one.

    Blueprints, scores, curves, cost, samples.
    """
    from groundup.artifacts.durable import write_text
    from groundup.pipeline.runs import artifacts_of
    from groundup.report.run import as_executed
    from groundup.report.runs_compared import compare_runs
    from groundup.report.runs_compared_page import comparison_page

    if len(runs) < 2:
        raise GroundupError("a comparison needs two runs", do="name another one; `groundup runs` lists them")
    folders = [where.run_folder(run) for run in runs]
    found = compare_runs([as_executed(folder.path, artifacts_of(folder)) for folder in folders])
    if json:
        print_json(found.as_json())
        return
    _print(found)
    names = "-".join(folder.path.resolve().name for folder in folders)
    at = page or folders[0].path.parent / COMPARISONS / f"{names}.html"
    at.parent.mkdir(parents=True, exist_ok=True)
    write_text(at, comparison_page(found))
    print(f"\nCurves and samples: {at}")


def _print(found: ComparedRuns) -> None:
    from groundup.blueprint.dump import yaml
    from groundup.planning.advice import size
    from groundup.progress import clock
    from groundup.report.runs_compared_page import shown_difference, shown_score
    from groundup.report.wording import shortened

    first, *others = found.names
    written = [one for one in found.blueprint if not one.derived]
    rows: list[tuple[str, ...]] = [("blueprint", *found.names)]
    rows += [(one.path, *(printable(shortened(yaml(value), 40)) for value in one.values)) for one in written]
    if not written:
        rows.append(("the same", *[""] * len(found.names)))
    print_rows(rows, left=1 + len(found.names))
    if derived := len(found.blueprint) - len(written):
        print(f"and {derived} value{'s' * (derived > 1)} that follow from these")
    if found.scores:
        print()
        rows = [("score", "model", *found.names, *(f"{name} less {first}" for name in others))]
        for one in found.scores:
            values = [shown_score(one, value) for value in one.values]
            rows.append((one.what, one.model, *values, *(shown_difference(one, at) for at in range(len(others)))))
        print_rows(rows, left=2)
        print("differences in points with 95 % intervals; * where 0 is outside")
    print()
    rows = [("cost", *found.names)]
    for stage, each in found.cost.items():
        rows.append((stage, *(f"{clock(one[0])} {size(one[1])}" if one else "" for one in each)))
    rows.append(("in all", *(clock(seconds) for seconds, _ in found.totals)))
    print_rows(rows, left=1)


def print_rows(rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Rows as a table, the first `left` columns left-aligned and the rest right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:left], widths, strict=False)]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[left:], widths[left:], strict=True)]
        print("  ".join(cells).rstrip())
