"""Arguments and options shared by several verbs."""

from pathlib import Path
from typing import Annotated, Any

import typer

Blueprint = Annotated[Path, typer.Argument(help="A blueprint file.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a value: a.b=c.")]
Run = Annotated[
    Path | None,
    typer.Argument(help="A run folder, or a blueprint file; without it the newest folder below runs/."),
]
Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="A run folder, a stage of it (RUN:sft), or an exported or Hugging Face folder; without it the newest run.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """What `--json` prints: one document, UTF-8, keys as they are."""
    import json

    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=str))
