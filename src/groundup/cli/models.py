"""From what a person names as a MODEL to a model that is loaded.

runs/mine            the run's newest exported model
runs/mine:sft        the model of one of its stages: pretrain, sft, ppo, grpo, dpo
some/folder          an exported folder, or another Hugging Face folder of a known family
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from groundup.cli import where
from groundup.corpus.documents import DOCUMENTS
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.artifacts import Figures
    from groundup.inference.loading import LoadedModel
    from groundup.pipeline.folder import RunFolder

STAGES = ("pretrain", "sft", "ppo", "grpo", "dpo")  # whose artifacts hold a language model


def load(name: str | None) -> LoadedModel:
    """The model that `name` means; without it the newest run's.

    Raises:
        GroundupError: there is no such model, or it is damaged.
    """
    run, stage = _split(name)
    if stage is not None:
        return _load_stage(where.run_folder(run), stage)
    from groundup.inference.loading import load_folder

    loaded = load_folder(folder(run))
    return loaded if _is_folder(run) else replace(loaded, documents=_documents(where.run_folder(run)))


def exported(name: str | None) -> Path:
    """The folder of an exported model: `name` itself, or the artifact of the run it names, its digests checked."""
    run, stage = _split(name)
    if stage is not None:
        raise GroundupError(f"{name} is a stage, not an exported model", do=f"name the run: {run}")
    if _is_folder(run):
        return run
    return where.run_folder(run).artifact("export").path


def adapter(name: str | None) -> tuple[Path, Path, Path]:
    """(adapters of a stage, the weights that they were trained on, the tokenizer) of a stage such as `RUN:sft`.

    Raises:
        GroundupError: `name` is no stage of a run, or the stage trained no adapters.
    """
    path, stage = _split(name)
    if stage is None:
        raise GroundupError("adapters belong to one stage", do=f"name it: {name or 'RUN'}:sft")
    run = where.run_folder(path)
    found = run.artifact(stage).path / "adapter"
    if not found.is_dir():
        raise GroundupError(f"the stage {stage} trained no adapters", where=str(run.path), do="see docs/finetuning.md")
    remembered = run.remembered()
    made = remembered.stages if remembered is not None else {}
    before = [one for one in ("start", *STAGES[: STAGES.index(stage)]) if one in made]
    base = "sft" if "sft" in before else before[-1]  # the aligning stages all begin with it
    return found, run.artifact(base).path / "model", _tokenizer_of(run, made)


def folder(run: Path | None) -> Path:
    """A Hugging Face folder itself, or what a run has delivered as its newest model."""
    if _is_folder(run):
        return run
    return where.run_folder(run).copy("model")


def several(name: str | None) -> Mapping[str, Callable[[], LoadedModel]]:
    """What a server offers: the model that `name` means and, of a run, the model of each of its stages.

    Returns: for each public name how to load the model; the first is the one that answers where none is asked for.
    """
    run, stage = _split(name)
    if stage is None and _is_folder(run):
        return {run.resolve().name: lambda: load(name)}
    found = where.run_folder(run)
    label = found.path.resolve().name
    if stage is not None:
        return {f"{label}:{stage}": lambda: load(name)}
    offered: dict[str, Callable[[], LoadedModel]] = {}
    if (found.path / "model").is_dir():
        offered[label] = lambda: load(name)
    remembered = found.remembered()
    for one in STAGES:
        if remembered is not None and one in remembered.stages:
            offered[f"{label}:{one}"] = lambda one=one: _load_stage(found, one)  # type: ignore[misc]
    if not offered:
        raise GroundupError("it has no model yet", where=str(found.path), do="run it to its pretraining at least")
    return offered


def figures(name: str | None) -> Mapping[str, Figures]:
    """The figures of each stage of the run that `name` means; empty for a folder that is no run."""
    run, _ = _split(name)
    if _is_folder(run):
        return {}
    found = where.run_folder(run)
    remembered = found.remembered()
    return {stage: found.artifact(stage).figures for stage in (remembered.stages if remembered else ())}


def _is_folder(run: Path | None) -> TypeGuard[Path]:
    """Whether it is a Hugging Face folder, and no run."""
    return run is not None and (run / "config.json").is_file()


def _documents(run: RunFolder) -> Path | None:
    """What the run's curation kept; None where there was none."""
    remembered = run.remembered()
    made = remembered.stages if remembered is not None else ()
    return run.artifact("curate").folder(DOCUMENTS) if "curate" in made else None


def _tokenizer_of(run: RunFolder, made: Collection[str]) -> Path:
    return run.artifact("tokenizer" if "tokenizer" in made else "start").file("tokenizer.json")


def _split(name: str | None) -> tuple[Path | None, str | None]:
    """`runs/mine:sft` as (runs/mine, sft); a path that exists is a path, whatever is in it."""
    if name is None:
        return None, None
    run, colon, stage = name.rpartition(":")
    if not colon or Path(name).exists() or "/" in stage or "\\" in stage:
        return Path(name), None
    if stage not in STAGES:
        raise GroundupError(f"no model is made by a stage {stage}", where=name, do=f"name one of {', '.join(STAGES)}")
    return Path(run) if run else None, stage


def _load_stage(run: RunFolder, stage: str) -> LoadedModel:
    from groundup.inference.loading import load_stage

    remembered = run.remembered()
    made = remembered.stages if remembered is not None else ()
    one_turn = "sft" in made and run.artifact("sft").figures.get("turns") == 1
    loaded = load_stage(
        f"{run.path.resolve().name}:{stage}",
        run.artifact(stage).path / "model",
        _tokenizer_of(run, made),
        one_turn=one_turn,
    )
    return replace(loaded, documents=_documents(run))
