"""What can be wrong with a blueprint, and where: all of it at once, one line each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from groundup.errors import GroundupError

MAX_SHOWN = 50


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A position in the file (`line` and `column` count from 1), or a `--set` (its `line` is 0)."""

    line: int
    column: int
    source: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    @property
    def origin(self) -> str:
        """`blueprint.yaml:12`, or `--set`."""
        return f"{PurePath(self.source).name}:{self.line}" if self.line else "--set"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at `path` (`pretrain.model.width`; empty where it concerns the whole file)."""

    where: Where
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.what}" if self.path else f"{self.where}: {self.what}"


class BlueprintError(GroundupError):
    """Everything that is wrong with a blueprint, a line each, in the order of the file, `--set` last."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.where.line == 0, problem.where, problem.path))
        lines = [str(problem) for problem in self.problems[:MAX_SHOWN]]
        if len(self.problems) > MAX_SHOWN:
            lines.append(f"... and {len(self.problems) - MAX_SHOWN} more")
        super().__init__("\n".join(lines))
