"""What a run left, as the report's sections ask for it. A stage that has not run gives empty answers, not errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.alignment.questions import MAIN_ASPECTS, Item, read_items
from groundup.artifacts import Artifact, Figures, read_metrics
from groundup.blueprint.load import LoadedBlueprint, load
from groundup.corpus.documents import Document, Dropped, read_documents, read_dropped
from groundup.pipeline.folder import RunFolder

METHODS = ("ppo", "dpo")
NAMES = {
    "curate": "Curation",
    "tokenizer": "Tokenizer",
    "tokens": "Token files",
    "pretrain": "Pretraining",
    "sft": "SFT",
    "reward": "Reward model",
    "ppo": "PPO",
    "dpo": "DPO",
    "evaluate": "Evaluation",
    "export": "Export",
}


@dataclass(frozen=True)
class Forecast:
    """What planning said before a stage ran."""

    seconds: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Run:
    """The artifacts of one run and the blueprint behind them."""

    place: str
    """The run's folder as a person names it: `runs/python-docs`."""
    artifacts: Mapping[str, Artifact]
    """By stage, in the order in which they ran."""
    loaded: LoadedBlueprint
    forecast: Mapping[str, Forecast] = field(default_factory=dict)

    @property
    def method(self) -> str | None:
        """`ppo` or `dpo`, whichever aligned the model; None where neither has run."""
        return next((name for name in METHODS if name in self.artifacts), None)

    def figures(self, stage: str) -> Figures:
        return self.artifacts[stage].figures if stage in self.artifacts else {}

    def figure(self, *path: str) -> Any:
        """`figure("evaluate", "answers", "sft")`: a figure by its path, None where there is none."""
        value: Any = self.figures(path[0])
        for name in path[1:]:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def file(self, stage: str, name: str) -> Path | None:
        """A file of a stage's artifact, None where there is none."""
        artifact = self.artifacts.get(stage)
        return artifact.path / name if artifact and name in artifact.manifest.files else None

    def json(self, stage: str, name: str) -> Any:
        """A JSON file of a stage's artifact, None where there is none."""
        path = self.file(stage, name)
        return json.loads(path.read_text(encoding="utf-8")) if path else None

    def metrics(self, stage: str) -> list[dict[str, Any]]:
        """The rows that a stage wrote while it worked, one a step."""
        path = self.file(stage, "records/metrics.jsonl")
        return read_metrics(path) if path else []

    @cached_property
    def taught(self) -> list[Item]:
        """What SFT asked about and how the documents answer, one for each subject."""
        path = self.file("sft", "items.jsonl")
        return [item for item in read_items(path) if item.aspect in MAIN_ASPECTS] if path else []

    @cached_property
    def answers(self) -> list[dict[str, Any]]:
        """Every answer of the evaluation: model, set, question, truth, answer, exact, f1, ended."""
        path = self.file("evaluate", "answers.jsonl")
        return [json.loads(line) for line in path.open(encoding="utf-8")] if path else []

    @cached_property
    def dropped(self) -> list[Dropped]:
        """Every document that curation left out."""
        path = self.file("curate", "dropped.parquet")
        return list(read_dropped(path)) if path else []

    @cached_property
    def documents(self) -> list[Document]:
        """The documents that were kept, without their texts."""
        path = self.file("curate", "documents.parquet")
        columns = ("id", "title", "source", "origin", "licence", "split")
        return list(read_documents(path, columns=columns)) if path else []


def read_run(folder: Path, artifacts: Mapping[str, Artifact], base: Path) -> Run:
    """Take up a run's folder.

    Args:
        folder: holds `blueprint.source.yaml`, `run.json` and `metrics.jsonl`.
        artifacts: by stage.
        base: the folder of the blueprint as its author has it; the files it names are looked at for the forecast.
    """
    run_folder = RunFolder(folder)
    remembered = run_folder.remembered()
    loaded = load(folder / "blueprint.source.yaml", remembered.overrides if remembered else ())
    forecast = _forecast(loaded, artifacts, run_folder.events(), base)
    where = folder.resolve()
    place = f"runs/{where.name}" if where.parent.name == "runs" else where.name
    ordered = {name: artifacts[name] for name in (*NAMES, *artifacts) if name in artifacts}
    return Run(place, ordered, loaded, forecast)


def _forecast(
    loaded: LoadedBlueprint, artifacts: Mapping[str, Artifact], events: Sequence[Mapping[str, Any]], base: Path
) -> dict[str, Forecast]:
    """Seconds as they were foretold when each artifact was begun; memory as planning reckons it from the blueprint."""
    from groundup.planning.estimate import plan

    seconds = {row["key"]: row.get("expected_seconds") for row in events if row.get("event") == "started"}
    memory = {stage.stage: stage.memory_bytes for stage in plan(loaded.blueprint, base=base).stages}
    return {
        name: Forecast(seconds.get(artifact.manifest.key.digest), memory.get(name))
        for name, artifact in artifacts.items()
    }
