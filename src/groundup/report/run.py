"""What a run produced, as the report's sections read it. A stage that has not run gives empty values, not errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.alignment.data.questions import MAIN_ASPECTS, Item, read_items
from groundup.artifacts import Artifact, Figures, read_metrics
from groundup.blueprint.load import LoadedBlueprint, load
from groundup.corpus.documents import Document, read_documents
from groundup.corpus.ledger import LEDGER, LedgerEntry, dropped_entries
from groundup.model.configuration import LLMConfig, config_of
from groundup.pipeline.folder import RunFolder

METHODS = ("ppo", "grpo", "dpo")
COLUMNS = ("id", "title", "source", "origin", "licence", "split")
HELDOUT_TITLES = 8
NAMES = {
    "curate": "Curation",
    "tokenizer": "Tokenizer",
    "tokens": "Token files",
    "pretrain": "Pretraining",
    "sft": "SFT",
    "reward": "Reward model",
    "ppo": "PPO",
    "grpo": "GRPO",
    "dpo": "DPO",
    "evaluate": "Evaluation",
    "export": "Export",
}


@dataclass(frozen=True)
class Run:
    """The artifacts of one run and its blueprint."""

    name: str
    """The run's folder as a person names it: `runs/python-docs`."""
    artifacts: Mapping[str, Artifact]
    """By stage, in the order in which they ran."""
    loaded: LoadedBlueprint
    predicted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By stage what planning said when it started (`planning.predicted`)."""
    samples: int = 3
    """How many of the documents that each rule dropped are shown."""

    @property
    def method(self) -> str | None:
        """`ppo` or `dpo`, whichever aligned the model; None where neither has run."""
        return next((name for name in METHODS if name in self.artifacts), None)

    @property
    def before(self) -> str:
        """The stage whose model was aligned: `sft`, or `start` where fine-tuning is skipped."""
        return self.figure("evaluate", "before") or "sft"

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

    def folder(self, stage: str, name: str) -> Path | None:
        """A folder of a stage's artifact, None where there is none."""
        artifact = self.artifacts.get(stage)
        return artifact.folder(name) if artifact else None

    def json(self, stage: str, name: str) -> Any:
        """A JSON file of a stage's artifact, None where there is none."""
        path = self.file(stage, name)
        return json.loads(path.read_text(encoding="utf-8")) if path else None

    def metrics(self, stage: str) -> list[dict[str, Any]]:
        """The rows that a stage wrote while it worked, one a step."""
        path = self.file(stage, "records/metrics.jsonl")
        return read_metrics(path) if path else []

    @cached_property
    def model(self) -> LLMConfig | None:
        """The shape of the pretrained model, or of the one that the run started from."""
        path = self.file("pretrain", "model/config.json") or self.file("start", "model/config.json")
        return config_of(json.loads(path.read_text(encoding="utf-8")), path) if path else None

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
    def dropped(self) -> dict[str, list[LedgerEntry]]:
        """A few of the documents that each rule dropped, evenly drawn; the rule that dropped most is first."""
        counts: Mapping[str, int] = self.figures("curate").get("dropped", {})
        chosen = {rule: spread(count, self.samples) for rule, count in counts.items()}
        found: dict[str, list[LedgerEntry]] = {rule: [] for rule in counts}
        seen: Counter[str] = Counter()
        path = self.folder("curate", LEDGER)
        for one in dropped_entries(path) if path else ():
            if seen[one.rule] in chosen[one.rule]:
                found[one.rule].append(one)
            seen[one.rule] += 1
        return found

    @cached_property
    def kept(self) -> Kept:
        """What is shown of the documents that were kept, in one pass over them."""
        path = self.folder("curate", "documents")
        wanted = {item.document for item in self.taught}
        wanted |= {one.duplicate_of for chosen in self.dropped.values() for one in chosen}
        found, shown, heldout = Kept(), spread(self.figure("curate", "heldout_documents") or 0, HELDOUT_TITLES), 0
        for one in read_documents(path, columns=COLUMNS) if path else ():
            found.by_origin[one.source, one.licence] += 1
            if one.id in wanted:
                found.named[one.id] = one
            if one.split == "heldout":
                if heldout in shown:
                    found.heldout.append(one.title or one.origin)
                heldout += 1
        return found


@dataclass
class Kept:
    """The documents that were kept, as far as the report names them, without their texts."""

    by_origin: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many there are of each source and licence."""
    named: dict[str, Document] = field(default_factory=dict)
    """By id: those that something was taught from, and those kept in place of a duplicate that is shown."""
    heldout: list[str] = field(default_factory=list)
    """A few titles of the held-out documents, evenly drawn."""


def spread(total: int, wanted: int) -> frozenset[int]:
    """Up to `wanted` indices below `total`, evenly spaced, with the first."""
    return frozenset(range(total)) if total <= wanted else frozenset(i * total // wanted for i in range(wanted))


def read_run(folder: Path, artifacts: Mapping[str, Artifact], samples: int = 3) -> Run:
    """Read a run's folder: `blueprint.source.yaml`, `run.json`, `metrics.jsonl`.

    Args:
        artifacts: by stage.
        samples: as in `Run`.
    """
    return replace(as_executed(folder, artifacts), predicted=RunFolder(folder).predicted(), samples=samples)


def as_executed(folder: Path, artifacts: Mapping[str, Artifact]) -> Run:
    """A run without what was predicted of it, from what lies in its folder alone."""
    remembered = RunFolder(folder).remembered()
    loaded = load(folder / "blueprint.source.yaml", remembered.overrides if remembered else ())
    where = folder.resolve()
    name = f"runs/{where.name}" if where.parent.name == "runs" else where.name
    ordered = {name: artifacts[name] for name in (*NAMES, *artifacts) if name in artifacts}
    return Run(name, ordered, loaded)
