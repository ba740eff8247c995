"""From what a person names on the command line to a run folder and a blueprint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.blueprint.load import LoadedBlueprint
    from groundup.pipeline.folder import RunFolder

RUNS = Path("runs")  # where run folders lie, below the current folder


def run_folder(name: Path | None) -> RunFolder:
    """The run folder that `name` is, or that a blueprint file runs in, or the newest below `name`/runs.

    Args:
        name: without it, the current folder.

    Raises:
        GroundupError: there is none.
    """
    from groundup.pipeline.folder import RunFolder

    if name is not None and name.is_file():
        from groundup.blueprint.load import load

        return RunFolder(RUNS / load(name).blueprint.name).must_exist()
    if name is not None and (name / "run.json").is_file():
        return RunFolder(name)
    runs = (name or Path()) / RUNS
    found = sorted(runs.glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    if found:
        return RunFolder(found[-1].parent)
    if name is None:
        raise GroundupError("there is no run yet", where=str(RUNS), do="name a run folder, or `groundup run` first")
    return RunFolder(name).must_exist()


def blueprint_of(folder: RunFolder) -> LoadedBlueprint:
    """The blueprint of a run as its file is now; where that file is gone, as it was executed."""
    from groundup.blueprint.load import load

    remembered = folder.remembered()
    if remembered is not None and Path(remembered.blueprint).is_file():
        return load(Path(remembered.blueprint), remembered.overrides)
    return load(folder.path / "blueprint.yaml")


def executed_blueprint_of(folder: RunFolder) -> LoadedBlueprint:
    """The blueprint as the newest run executed it, whatever its file says now."""
    from groundup.blueprint.load import load

    remembered = folder.remembered()
    assert remembered is not None  # `run_folder` has seen to it
    loaded = load(folder.path / "blueprint.source.yaml", remembered.overrides)
    return replace(loaded, path=Path(remembered.blueprint))
