"""Which runs there are below a folder, each with its state, size, scores and cost, from what it wrote down itself.

No blueprint is loaded and no stage asked whether it is stale: a run of an older version is listed too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.artifacts import Artifact, Manifest, durable
from groundup.artifacts.store import RUN
from groundup.errors import GroundupError
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.interrupted import interrupted

LAST_STAGE = "report"


@dataclass(frozen=True)
class ListedRun:
    """One run folder, as `groundup runs` lists it. What it has not measured yet is None."""

    path: Path
    state: str
    """`done`, `running sft`, `failed at sft`, `stopped at sft`, `interrupted at sft, at step 3 of 9`, or
    `damaged`."""
    parameters: int | None
    documents: int | None
    bits_per_byte: float | None
    exact: float | None
    """Exact matches of the last model on the first set of questions: those taught, or the user's own."""
    exact_set: str | None
    gain: float | None
    """Mean token F1 of the aligned model less SFT's."""
    seconds: float
    disk_bytes: int
    changed: str | None
    """UTC, of the newest event."""


def runs_below(folder: Path) -> list[ListedRun]:
    """Every run folder below `folder`, its `runs` or itself, the newest last."""
    patterns = ("run.json", "*/run.json", "runs/*/run.json", "*/runs/*/run.json")
    found = {path.parent.resolve(): path for pattern in patterns for path in folder.glob(pattern)}
    paths = sorted(found.values(), key=lambda path: path.stat().st_mtime_ns)
    return [listed_run(RunFolder(path.parent)) for path in paths]


def artifacts_of(folder: RunFolder) -> dict[str, Artifact]:
    """The artifacts of the newest run that are still there, by stage; their files are not checked.

    Raises:
        GroundupError: `run.json` or a manifest is damaged.
    """
    remembered = folder.remembered()
    paths = {
        stage: folder.path / "artifacts" / name for stage, name in (remembered.stages if remembered else {}).items()
    }
    return {stage: Artifact(path, Manifest.read(path)) for stage, path in paths.items() if path.is_dir()}


def listed_run(folder: RunFolder) -> ListedRun:
    """One run; a damaged one is listed as such."""
    events = folder.events()
    changed = events[-1]["time"] if events else None
    try:
        artifacts = artifacts_of(folder)
    except GroundupError:
        size = durable.folder_bytes(folder.path)
        return ListedRun(folder.path, "damaged", None, None, None, None, None, None, 0.0, size, changed)
    figures = {stage: artifact.figures for stage, artifact in artifacts.items()}
    evaluation = figures.get("evaluate", {})
    by_set = next(reversed((evaluation.get("answers") or {"": {}}).values()))
    first_set = next(iter(by_set), None)
    return ListedRun(
        folder.path,
        _state(folder, events, artifacts),
        figures.get("pretrain", figures.get("start", {})).get("parameters"),
        figures.get("curate", {}).get("documents"),
        (evaluation.get("bits_per_byte") or {}).get("model"),
        by_set[first_set]["exact_match"] if first_set else None,
        first_set,
        (evaluation.get("true_score_gain") or {}).get("mean"),
        sum(artifact.manifest.measured.seconds for artifact in artifacts.values()),
        durable.folder_bytes(folder.path),
        changed,
    )


def _state(folder: RunFolder, events: list[dict[str, Any]], artifacts: Mapping[str, Artifact]) -> str:
    last: dict[str, Any] = events[-1] if events else {"event": "", "stage": ""}
    if folder.store.held(RUN):
        return f"running {last['stage']}"
    if last["event"] in ("failed", "stopped"):
        return f"{last['event']} at {last['stage']}"
    if last["event"] == "started" and last["stage"] != LAST_STAGE:
        kept = folder.store.kept_under(last["stage"], last.get("key", ""))
        reached = found.reached((last.get("expected") or {}).get("steps", 0)) if (found := interrupted(kept)) else ""
        return f"interrupted at {last['stage']}" + (f", {reached.partition(';')[0]}" if reached else "")
    return "done" if LAST_STAGE in artifacts else f"ended after {next(reversed(list(artifacts)), 'nothing')}"
