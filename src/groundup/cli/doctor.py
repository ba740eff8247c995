"""`groundup doctor`: is this machine fit?"""

import typer

verbs = typer.Typer()


@verbs.command()
def doctor() -> None:
    """Say whether this machine is fit, and what to do if not."""
    from groundup.pipeline.fitness import findings

    worst = False
    for finding in findings():
        mark = typer.style("ok  ", fg="green") if finding.ok else typer.style("warn", fg="yellow")
        typer.echo(f"{mark}  {finding.about:<10} {finding.what}" + (f"; {finding.do}" if finding.do else ""))
        worst = worst or not finding.ok
    if not worst:
        typer.echo("This machine is fit.")
