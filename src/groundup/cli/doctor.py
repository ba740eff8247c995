"""`groundup doctor`: is this machine fit?"""

import typer

verbs = typer.Typer()


@verbs.command()
def doctor() -> None:
    """Check whether this machine is fit, and what to do if not."""
    from groundup.pipeline.doctor import check_machine

    worst = False
    for check in check_machine():
        mark = typer.style("ok  ", fg="green") if check.ok else typer.style("warn", fg="yellow")
        typer.echo(f"{mark}  {check.about:<10} {check.what}" + (f"; {check.do}" if check.do else ""))
        worst = worst or not check.ok
    if not worst:
        typer.echo("This machine is fit.")
