"""`groundup bench`: the project's benchmarks."""

from pathlib import Path
from typing import Annotated

import typer

verbs = typer.Typer()

BENCHMARKS = {
    "corpus": "MinHash and filter statistics",
    "curation": "whole curation: workers, time and memory by size",
    "tokenizer": "training and encoding of byte-level BPE",
    "loader": "serving batches of tokens",
    "train": "steps of the training engine",
    "curve": "time to a validation loss",
    "engines": "two processes against one, and what they send",
}


@verbs.command(
    epilog="Benchmarks: " + "; ".join(f"{name}: {about}" for name, about in BENCHMARKS.items()),
)
def bench(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(BENCHMARKS)}.")],
    data: Annotated[
        Path | None, typer.Option(help="Real text to measure with: a file or folder, read recursively.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the rows there too.")] = None,
) -> None:
    """Measure against installed peers.

    Each row is a ratio measured in this run; above 1 is better for us. A peer that is not installed is an error:
    `make bench NAME=...` sets up an environment that has them all.
    """
    from importlib import import_module

    from rich.console import Console
    from rich.table import Table

    from groundup.bench.rows import Row, write_json
    from groundup.errors import GroundupError

    if name not in BENCHMARKS:
        raise GroundupError(f"there is no benchmark {name}", do=f"there are {', '.join(BENCHMARKS)}")
    console, rows = Console(), list[Row]()
    table = Table("case", "metric", "ours", "peer", "ratio", "against", box=None, header_style="bold")
    for column in (2, 3, 4):
        table.columns[column].justify = "right"
    with console.status(f"measuring {name}") as status:
        for row in import_module(f"groundup.bench.{name}").run(data):
            rows.append(row)
            status.update(f"measuring {name}: {row.case}, {row.metric}: {row.ratio:.2f}x {row.peer_name}")
    for row in rows:
        ratio = f"[{'green' if row.ratio >= 1 else 'red'}]{row.ratio:.2f}x[/]"
        against = f"{row.peer_name} {row.peer_version}".strip()
        table.add_row(row.case, row.metric, figure(row.ours, row.unit), figure(row.peer, row.unit), ratio, against)
    console.print(table)
    if json is not None:
        write_json(rows, json)
        console.print(f"written to {json}")


def figure(value: float, unit: str) -> str:
    """Three significant digits and the unit; losses, which differ late, to four places."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    if unit == "nats":
        digits = 4
    return f"{value:,.{digits}f} {unit}"
