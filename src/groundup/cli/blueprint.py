"""`groundup blueprint`: schema and show."""

from typing import Annotated

import typer

from groundup.cli.options import Blueprint, Set

verbs = typer.Typer(help="The blueprint as editors and people read it.", no_args_is_help=True)


@verbs.command()
def schema() -> None:
    """Print the JSON Schema of a blueprint, for editors."""
    import json

    from groundup.blueprint.schema import json_schema

    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))


@verbs.command()
def show(
    blueprint: Blueprint,
    set_: Set = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Every value, with where it came from.")] = False,
) -> None:
    """Print a blueprint, as written or resolved."""
    from groundup.blueprint.load import load

    loaded = load(blueprint, set_ or ())
    if not resolved:
        print(loaded.text, end="")
        return
    from groundup.blueprint.dump import yaml
    from groundup.blueprint.show import resolved as rows

    table = list(rows(loaded))
    width = max(len(path) for path, _, _ in table)
    for path, value, origin in table:
        print(f"{path:<{width}}  {yaml(value)}  ({origin})")
