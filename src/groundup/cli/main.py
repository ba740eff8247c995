"""`groundup`: the verbs, and how errors are shown."""

import os
import sys

import typer

from groundup.cli import (
    aligning,
    blueprint,
    building,
    comparing,
    corpus,
    data,
    doctor,
    guide,
    launch,
    looking,
    planning,
    ranking,
    scaling,
    talking,
    tokens,
    tune,
)
from groundup.errors import GroundupError
from groundup.machine import short_waits
from groundup.terminal import printable

app = typer.Typer(
    name="groundup",
    help="From a folder of documents to your own aligned chat model: one blueprint, one command.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verbs in (
    building.verbs,
    planning.verbs,
    scaling.verbs,
    talking.verbs,
    ranking.verbs,
    looking.verbs,
    comparing.verbs,
    doctor.verbs,
    guide.verbs,
):
    app.add_typer(verbs)
app.add_typer(guide.exercise, name="exercise")
app.add_typer(aligning.verbs, name="align")
app.add_typer(launch.verbs, name="launch")
app.add_typer(blueprint.verbs, name="blueprint")
app.add_typer(corpus.verbs, name="corpus")
app.add_typer(data.verbs, name="data")
app.add_typer(tokens.verbs, name="tokens")
app.add_typer(tune.verbs, name="tune")


@app.callback(invoke_without_command=True)
def groundup(version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True)) -> None:
    """From a folder of documents to your own aligned chat model: one blueprint, one command."""
    if version:
        from groundup import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """The console script. A user's mistakes are printed in a line each; the exit status is 1, for usage 2."""
    os.environ |= short_waits(os.environ)  # before torch is loaded
    try:
        app()
    except GroundupError as error:
        for line in str(error).splitlines():
            print(f"groundup: {printable(line)}", file=sys.stderr)
        sys.exit(1)
