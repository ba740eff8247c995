"""From what a person names on the command line to a run folder and a blueprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.blueprint.load import LoadedBlueprint
    from groundup.pipeline.folder import RunFolder

BLUEPRINT = "blueprint.yaml"  # as `groundup new` names it, and as it was executed in a run folder
RUNS = "runs"  # the folder of run folders, next to the blueprint


def run_folder_of(blueprint: Path, name: str) -> RunFolder:
    """Where a blueprint's runs go, wherever the command is given: `runs/NAME` next to the file."""
    from groundup.pipeline.folder import RunFolder

    return RunFolder(blueprint.parent / RUNS / name)


def run_folder(name: Path | None, must_exist: bool = True) -> RunFolder:
    """The run folder that `name` is, or that a blueprint file runs in, or the newest below `name`/runs, or the one in
    which `name`/blueprint.yaml will run.

    Args:
        name: without it, the current folder.
        must_exist: whether a blueprint that was never run is an error.

    Raises:
        GroundupError: there is none.
    """
    from groundup.pipeline.folder import RunFolder

    if name is not None and name.is_file():
        from groundup.blueprint.load import load

        folder = run_folder_of(name, load(name).blueprint.name)
        return folder.must_exist() if must_exist else folder
    if name is not None and ((name / "run.json").is_file() or (name / "artifacts").is_dir()):
        return RunFolder(name)
    runs = (name or Path()) / RUNS
    found = sorted(runs.glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    if found:
        return RunFolder(found[-1].parent)
    written = (name or Path()) / BLUEPRINT
    if written.is_file() and not must_exist:
        return run_folder(written, must_exist)
    if name is None:
        raise GroundupError("there is no run yet", where=str(runs), do="name a run folder, or `groundup run` first")
    return RunFolder(name).must_exist()


def overrides(folder: RunFolder, given: Sequence[str] | None, as_written: bool = False) -> tuple[str, ...]:
    """The `--set` values that a command uses: those given, else those of the newest run.

    Args:
        as_written: use none where none are given.
    """
    remembered = folder.remembered()
    if given or as_written or remembered is None:
        return tuple(given or ())
    return tuple(remembered.overrides)


def heading(folder: RunFolder, loaded: LoadedBlueprint) -> str:
    """What a run is compared with: `runs/mine, with mine.yaml and --set seed=3`."""
    with_set = "".join(f" --set {override}" for override in loaded.overrides)
    return f"{folder.path}, with {loaded.path}{' and' + with_set if with_set else ''}"


def current(run: Path | None, set_: Sequence[str] | None) -> tuple[RunFolder, LoadedBlueprint]:
    """The run folder that `run` names, and its blueprint as the file is now with the overrides in use.

    A blueprint that was never run has a folder that doesn't exist yet.
    """
    from groundup.blueprint.load import load

    folder = run_folder(run, must_exist=False)
    named = run if run is not None and run.is_file() else (run or Path()) / BLUEPRINT
    remembered = folder.remembered()
    if named == run or (remembered is None and named.is_file()):
        loaded = load(named, overrides(folder, set_))
    elif remembered is not None and Path(remembered.blueprint).is_file():
        loaded = load(_shortest(Path(remembered.blueprint)), overrides(folder, set_))
    else:
        loaded = load(folder.path / BLUEPRINT, set_ or ())
    loaded.check_files()
    return folder, loaded


def _shortest(path: Path) -> Path:
    """The path from the current folder where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def executed_blueprint_of(folder: RunFolder) -> LoadedBlueprint:
    """The blueprint as the newest run executed it, whatever its file says now."""
    from groundup.blueprint.load import load

    remembered = folder.remembered()
    assert remembered is not None  # `run_folder` has seen to it
    loaded = load(folder.path / "blueprint.source.yaml", remembered.overrides)
    return replace(loaded, path=Path(remembered.blueprint))
