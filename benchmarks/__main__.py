"""Measure against installed peers: `make bench NAME=train` sets up their environment and runs this.

    python -m benchmarks NAME [--data FILE_OR_FOLDER] [--json FILE] [--check]

Each row is a ratio measured in this run; above 1 is better for us. A peer that is missing or fails is a row that says
why. With --check every benchmark runs at toy size, and the exit status is 1 where any peer failed.
"""

import argparse
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.rows import Row, write_json
from groundup.errors import GroundupError

BENCHMARKS = {
    "corpus": "MinHash and filter statistics",
    "curation": "whole curation: workers, time and memory by size",
    "scale": "duplicates among 1 to 20 million documents: cost, memory, recall",
    "tokenizer": "training and encoding of byte-level BPE",
    "loader": "serving batches of tokens",
    "train": "steps of the training engine",
    "inference": "tokens per second of generation",
    "gguf": "what llama.cpp makes of exported models",
    "harness": "scores of tasks, ours and lm-evaluation-harness's",
    "align": "SFT, DPO and GRPO, and an iteration of PPO",
    "arithmetic": "what GRPO and PPO add to a model that adds",
    "curve": "time to a validation loss",
    "recipe": "what is learnt in a given time",
    "forecast": "what a plan says against what runs of four sizes take",
    "engines": "two processes against one, and what they send",
}


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:<10} {about}" for name, about in BENCHMARKS.items()),
    )
    parser.add_argument("name", choices=[*BENCHMARKS, "all"], help="which benchmark; all: one after the other")
    parser.add_argument("--data", type=Path, help="real text to measure with: a file or folder, read recursively")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--check", action="store_true", help="toy sizes: does every side work? Figures mean nothing")
    race = parser.add_argument_group("recipe")
    race.add_argument("--peer", type=Path, metavar="FOLDER", help="a checkout of nanochat")
    race.add_argument("--budget", type=float, default=120.0, metavar="SECONDS", help="of training, for each side")
    race.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a machine that is busy")
    parser.add_argument("--sides", nargs="+", metavar="SIDE", help="of recipe, inference, forecast: see there")
    given = parser.parse_args()
    only = {name: vars(given)[name] for name in ("peer", "budget", "clock", "sides") if vars(given)[name] is not None}
    console, rows = Console(), list[Row]()
    try:
        for name in BENCHMARKS if given.name == "all" else [given.name]:
            with console.status(f"measuring {name}") as status:
                found = list[Row]()
                bench = import_module(f"benchmarks.{name}").run
                for row in bench(
                    given.data, given.check, **{key: only[key] for key in only.keys() & signature(bench).parameters}
                ):
                    found.append(row)
                    status.update(f"measuring {name}: {row.case}, {row.metric}: {ratio(row)} {row.peer_name}")
                    if given.json is not None:  # what is measured is kept, whatever comes
                        write_json([*rows, *found], given.json)
            console.print(table(found))
            rows += found
    except GroundupError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if given.json is not None:
        console.print(f"written to {given.json}")
    return int(given.check and any(row.failure for row in rows))


def table(rows: list[Row]) -> Table:
    """The rows as a person reads them."""
    shown = Table("case", "metric", "ours", "peer", "ratio", "against", box=None, header_style="bold")
    for column in (2, 3, 4):
        shown.columns[column].justify = "right"
    for row in rows:
        colour = "green" if row.ratio is not None and row.ratio >= 1 else "red"
        against = f"{row.peer_name} {row.peer_version}".strip()
        peer = figure(row.peer, row.unit) if row.peer is not None else ""
        if row.failure:
            against += f": {row.failure}"
        shown.add_row(
            row.case, row.metric, figure(row.ours, row.unit), peer, f"[{colour}]{ratio(row)}[/]", Text(against)
        )
    return shown


def ratio(row: Row) -> str:
    """`1.23x`, or `failed`."""
    return "failed" if row.ratio is None else f"{row.ratio:.2f}x"


def figure(value: float, unit: str) -> str:
    """Three significant digits and the unit; losses, which differ late, to four decimals."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    if unit == "nats":
        digits = 4
    return f"{value:,.{digits}f} {unit}"


if __name__ == "__main__":
    sys.exit(main())
