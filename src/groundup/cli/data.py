"""`groundup data`: look into data files before anything is trained on them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from groundup.cli import where

verbs = typer.Typer(help="Look into data files for fine-tuning and rewards.", no_args_is_help=True)


@verbs.callback()
def data() -> None:
    """Look into data files for fine-tuning and rewards."""


@verbs.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON, JSONL, CSV or Parquet.")],
    run: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="Whose tokenizer to use; else the newest run's.")
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(metavar="JSON", help="A tokenizer.json, without a run.")] = None,
    purpose: Annotated[
        Literal["sft", "reward"] | None, typer.Option("--as", help="What reads it; else by its content.")
    ] = None,
    turns: Annotated[Literal["all", "last"], typer.Option(help="The answers of a conversation to train.")] = "all",
    rows: Annotated[int, typer.Option(min=0, help="Rows to show.")] = 3,
    context: Annotated[int | None, typer.Option(min=2, help="Count examples that are longer.")] = None,
) -> None:
    """Show a file's rows as tokens, with what is trained of them, and count what can't be used."""
    from rich.console import Console

    from groundup.alignment.data.show import purpose_of, show_file
    from groundup.tokenizer.tokenizer import Tokenizer

    source = tokenizer or where.run_folder(run).artifact("tokenizer").file("tokenizer.json")
    console = Console(highlight=False)
    for line in show_file(file, purpose or purpose_of(file), Tokenizer.load(source), rows, context, turns):
        console.print(line, soft_wrap=True)
