"""What a plan is: a forecast for each stage, and for the run."""

from dataclasses import dataclass, field

from groundup.model.configuration import LLMConfig
from groundup.planning.corpus import Corpus
from groundup.planning.machine import Machine, MatmulPrecision
from groundup.planning.reading import Reading

PASSING = ("checkpoints", "while it works")  # parts of a stage's disk that are gone once it is done


@dataclass(frozen=True)
class StagePlan:
    """One stage, before it runs. `memory` and `disk` are bytes by part; `tokens` are those that a model reads."""

    stage: str
    seconds: float
    tokens: int = 0
    steps: int = 0
    flops: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)

    @property
    def memory_bytes(self) -> int:
        return sum(self.memory.values())

    @property
    def disk_bytes(self) -> int:
        return sum(self.disk.values())

    @property
    def result_bytes(self) -> int:
        """Of its result, which stays: without checkpoints and what it writes while it works."""
        return sum(amount for part, amount in self.disk.items() if part not in PASSING)


@dataclass(frozen=True)
class Plan:
    """The whole run, before it runs."""

    model: LLMConfig
    parameters: dict[str, int]
    """By part; they add up to the model's."""
    stages: tuple[StagePlan, ...]
    machine: Machine
    corpus: Corpus
    precision: MatmulPrecision
    assumed: tuple[str, ...]
    """What the plan takes for granted, as sentences."""
    reading: Reading

    @property
    def seconds(self) -> dict[str, float]:
        return {stage.stage: stage.seconds for stage in self.stages}

    @property
    def flops(self) -> float:
        return sum(stage.flops for stage in self.stages)

    @property
    def peak(self) -> StagePlan:
        """The stage that needs most memory."""
        return max(self.stages, key=lambda stage: stage.memory_bytes)

    @property
    def disk_bytes(self) -> int:
        """All results, and the checkpoints of the stage that has most: a finished stage keeps none."""
        checkpoints = [stage.disk.get("checkpoints", 0) for stage in self.stages]
        return sum(stage.disk_bytes for stage in self.stages) - sum(checkpoints) + max(checkpoints)

    def stage(self, name: str) -> StagePlan:
        return next(stage for stage in self.stages if stage.stage == name)
