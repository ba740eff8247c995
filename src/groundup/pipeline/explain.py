"""Why a stage is done, stale or waiting, down to the very value that changed."""

from collections.abc import Iterator, Sequence
from typing import Any

from groundup.artifacts import Artifact, StageKey, Store
from groundup.blueprint.load import LoadedBlueprint
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.interrupted import ending
from groundup.pipeline.status import State, Step

MAX_CHARACTERS = 60  # of a value that is shown
DIGEST = 64  # characters of a SHA-256


def reasons(step: Step, loaded: LoadedBlueprint, folder: RunFolder) -> list[str]:
    """Why this step is in the state that it is in."""
    store = folder.store
    if step.state is State.WAITING:
        return [f"waits for {', '.join(step.waits_for)}"]
    if step.artifact:
        return [f"made {step.artifact.manifest.provenance.get('ended', '')} as {step.artifact.path.name}"]
    assert step.key is not None
    if step.state is State.INTERRUPTED:
        assert step.reached is not None
        return [ending(folder.events(), step.stage.name, step.key.digest, step.reached)]
    nearest = nearest_older(step.key, store.published(step.stage.name))
    if nearest is None:
        return ["was never made in this run folder"]
    return list(_differences(step.key, nearest.manifest.key, loaded, store))


def nearest_older(key: StageKey, older: Sequence[Artifact]) -> Artifact | None:
    """Of some artifacts of a stage, newest first, the one whose key differs in the fewest values."""
    return min(older, key=lambda one: sum(1 for _ in key.differences(one.manifest.key)), default=None)


def _differences(key: StageKey, older: StageKey, loaded: LoadedBlueprint, store: Store) -> Iterator[str]:
    for what, old, new in key.differences(older):
        kind, _, name = what.partition(".")
        if kind == "input":
            yield from _input_difference(name, old, new, loaded, store)
        elif kind == "source":
            yield f"its source {name} {_source_change(old, new)}"
        elif what == "seed" or kind == key.stage:
            yield f"{what} was {_shown(old)}, is {_shown(new)}{_origin(what, loaded)}"
        else:
            yield f"{what} was {_shown(old)}, is {_shown(new)}"


def _input_difference(
    name: str, old: str | None, new: str | None, loaded: LoadedBlueprint, store: Store
) -> Iterator[str]:
    """Goes back to what made the input differ, where the older input is still in the run folder."""
    published = store.published(name)
    then = next((one for one in published if one.manifest.content == old), None)
    now = next((one for one in published if one.manifest.content == new), None)
    if old is None or new is None:
        yield f"{name} is {'a new input' if old is None else 'no input any more'}"
    elif then is None or now is None:
        yield f"its input {name} has changed"
    else:
        causes = list(_differences(now.manifest.key, then.manifest.key, loaded, store))
        for cause in causes or ["it was made again with another result"]:
            yield f"its input {name} has changed: {cause}"


def _origin(path: str, loaded: LoadedBlueprint) -> str:
    try:
        return f" ({loaded.origin(path)})"
    except KeyError:  # a list that grew or shrank, or a value that this blueprint no longer has
        return ""


def _source_change(old: str | None, new: str | None) -> str:
    """Versions are shown; digests of contents mean nothing to a person."""
    if old is None or new is None:
        return "is new" if old is None else "is gone"
    return f"was {old}, is {new}" if len(old) < DIGEST and len(new) < DIGEST else "has changed"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 3]}..."
