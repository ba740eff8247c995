"""Blueprints to start from, each commented for a person to edit."""

import json
from pathlib import Path

from groundup.artifacts.durable import disk_error, write_text
from groundup.blueprint.schema import json_schema
from groundup.errors import GroundupError

FOLDER = Path(__file__).parent
DEFAULT = "python-docs"
OTHER_NAMES = {"laptop": DEFAULT, "own-documents": "files"}
BLUEPRINT, SCHEMA = "blueprint.yaml", "blueprint.schema.json"


def names() -> list[str]:
    """The gallery's blueprints, the default first."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: (name != DEFAULT, name))


def text(name: str) -> str:
    """A blueprint of the gallery as YAML text; raises GroundupError for a name that is not in it."""
    name = OTHER_NAMES.get(name, name)
    if name not in names():
        raise GroundupError(
            f"the gallery has no blueprint {name}", do=f"choose one of {', '.join([*names(), *OTHER_NAMES])}"
        )
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def write(name: str, folder: Path) -> tuple[Path, Path]:
    """Write `blueprint.yaml` and the schema that it names for editors into `folder`, which is made where absent.

    Raises:
        GroundupError: no such name; the folder has a blueprint already; it can't be written.
    """
    blueprint, schema = folder / BLUEPRINT, folder / SCHEMA
    content = text(name)
    if blueprint.exists():
        raise GroundupError("is there already", where=str(blueprint), do="choose another folder, or edit that file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(schema, json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n")
        write_text(blueprint, content)
    except OSError as error:
        raise disk_error(error, folder) from error
    return blueprint, schema
