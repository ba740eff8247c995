"""What each stage's state is, without running or importing any of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from groundup.artifacts import Artifact, StageKey
from groundup.artifacts.durable import sha256_of
from groundup.artifacts.manifest import MANIFEST
from groundup.blueprint.dump import dump
from groundup.blueprint.load import LoadedBlueprint
from groundup.lazy import load
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.graph import Stage
from groundup.pipeline.interrupted import Interrupted, interrupted
from groundup.section import Section


class State(StrEnum):
    """The state of a stage's artifact."""

    DONE = "done"  # its artifact is there
    BUILDING = "building"  # a process works on it now
    INTERRUPTED = "interrupted"  # it was begun with these values and not finished; the next run resumes
    NEW = "new"  # it was never made in this folder
    STALE = "stale"  # it was made from other values
    WAITING = "waiting"  # its inputs are not there, so whether it is stale can't be said yet


@dataclass(frozen=True)
class Step:
    """One stage as this blueprint sees it."""

    stage: Stage
    config: Section
    state: State
    key: StageKey | None = None  # None while it waits
    artifact: Artifact | None = None
    waits_for: tuple[str, ...] = ()
    inputs: Mapping[str, Artifact] | None = None
    reached: Interrupted | None = None  # how far it came, where it is interrupted


def resolve(stage: Stage, made: Mapping[str, Artifact], loaded: LoadedBlueprint, folder: RunFolder) -> Step:
    """The step for one stage, given the artifacts of the stages before it.

    Raises:
        GroundupError: a source from outside can't be read.
    """
    config = stage.configuration(loaded.blueprint)
    missing = tuple(name for name in stage.inputs if name not in made)
    if missing:
        return Step(stage, config, State.WAITING, waits_for=missing)
    inputs = {name: made[name] for name in stage.inputs}
    sources: dict[str, str] = {}
    if stage.sources:
        sources |= load(stage.sources)(config, loaded.base, folder.cache)
    if stage.sees_run:
        sources["blueprint"] = hashlib.sha256(f"{loaded.text}\n{dump(loaded)}".encode()).hexdigest()
        sources |= {f"{name}/{MANIFEST}": sha256_of(one.path / MANIFEST) for name, one in inputs.items()}
    key = StageKey(
        stage=stage.name,
        version=stage.version,
        configuration=config.result_affecting(),
        seed=loaded.blueprint.seed,
        inputs={name: one.manifest.content for name, one in inputs.items()},
        sources=sources,
    )
    artifact, reached = folder.store.find(key), None
    if artifact:
        state = State.DONE
    elif folder.store.held(stage.name):
        state = State.BUILDING
    elif reached := interrupted(folder.store.kept(key)):
        state = State.INTERRUPTED
    else:
        state = State.STALE if folder.store.published(stage.name) else State.NEW
    return Step(stage, config, state, key, artifact, inputs=inputs, reached=reached)


def survey(
    loaded: LoadedBlueprint, folder: RunFolder, stages: Sequence[Stage], settled: Mapping[str, Artifact] | None = None
) -> list[Step]:
    """Every stage's step, in order.

    Args:
        settled: artifacts by stage that are taken as they are, without asking whether they are stale.
    """
    made: dict[str, Artifact] = {}
    steps = []
    for stage in stages:
        if settled and stage.name in settled:
            artifact = settled[stage.name]
            config = stage.configuration(loaded.blueprint)
            step = Step(stage, config, State.DONE, artifact.manifest.key, artifact)
        else:
            step = resolve(stage, made, loaded, folder)
        if step.artifact:
            made[stage.name] = step.artifact
        steps.append(step)
    return steps
