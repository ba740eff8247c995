"""`groundup doctor`: is this machine fit?"""

from dataclasses import asdict

import typer

from groundup.cli.options import Json, print_json

verbs = typer.Typer()


@verbs.command()
def doctor(json: Json = False) -> None:
    """Check whether this machine is fit, and what to do if not."""
    from groundup.pipeline.doctor import check_machine

    checks = list(check_machine())
    if json:
        print_json([asdict(check) for check in checks])
        return
    for check in checks:
        mark = typer.style("ok  ", fg="green") if check.ok else typer.style("warn", fg="yellow")
        typer.echo(f"{mark}  {check.about:<10} {check.what}" + (f"; {check.do}" if check.do else ""))
    if all(check.ok for check in checks):
        typer.echo("This machine is fit.")
