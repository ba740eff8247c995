"""Several runs next to each other, the first being what the others are compared with.

    runs -> blueprints' differences, curves, scores with intervals of their difference, cost, samples

Scores are compared question by question where both runs asked the same one, since its difficulty then cancels out;
questions about one subject (with the same true answer) are drawn together (`evaluation.checker.bootstrap`). Where the
runs asked different questions, each is drawn on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from groundup.blueprint.load import Leaf
from groundup.evaluation.checker import Interval, bootstrap
from groundup.report.run import NAMES, Run

RESAMPLES = 2000
MIN_PAIRED = 0.5  # of the smaller set of questions; with fewer in common the sets are taken as different ones
SAMPLES = 6
METRICS = {  # curves that are drawn, by stage: metric, what it is, unit
    "pretrain": (("heldout_loss", "Validation loss", "nats per token"), ("loss", "Training loss", "nats per token")),
    "sft": (("heldout_loss", "SFT: validation loss", "nats per token"),),
    "reward": (("heldout_accuracy", "Reward model: validation accuracy", "of the pairs"),),
    "ppo": (("reward", "PPO: mean reward", "reward"), ("kl", "PPO: KL from SFT", "nats per answer")),
    "grpo": (("reward", "GRPO: mean reward", "reward"), ("kl", "GRPO: KL from SFT", "nats per answer")),
    "dpo": (("heldout_accuracy", "DPO: validation accuracy", "of the pairs"),),
}


@dataclass(frozen=True)
class Difference:
    """A value of the blueprint that is not the same in all runs."""

    path: str
    values: tuple[Leaf, ...]
    derived: bool
    """Whether no run's file sets it: it follows from another difference."""


@dataclass(frozen=True)
class ComparedScore:
    """One score of all runs, and the others' less the first's with 95 % intervals."""

    what: str
    model: str
    """The stage whose model it is of; `last`: the aligned one, or SFT's without alignment."""
    values: tuple[float | None, ...]
    differences: tuple[Interval | None, ...]
    """Of each other run; None where nothing was drawn from which an interval would follow."""
    paired: tuple[int, ...] = ()
    """How many questions each other run has in common with the first; 0: compared as different sets."""


@dataclass(frozen=True)
class ComparedRuns:
    """What `compare` found."""

    names: tuple[str, ...]
    blueprint: tuple[Difference, ...]
    curves: Mapping[str, Mapping[str, tuple[tuple[tuple[float, float], ...], ...]]]
    """stage -> metric -> for each run its (step, value) points."""
    scores: tuple[ComparedScore, ...]
    cost: Mapping[str, tuple[tuple[float, int] | None, ...]]
    """stage -> for each run (seconds, peak bytes)."""
    samples: tuple[Mapping[str, Any], ...]
    """Questions that all runs asked: question, truth, set, and each run's last answer."""

    @property
    def totals(self) -> list[tuple[float, int]]:
        """For each run (seconds of all stages, the largest peak in bytes); zeros where no stage is done."""
        of_run = [[each[at] for each in self.cost.values()] for at in range(len(self.names))]
        done = [[one for one in stages if one] for stages in of_run]
        return [(sum(one[0] for one in stages), max((one[1] for one in stages), default=0)) for stages in done]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare_runs(runs: Sequence[Run], seed: int = 0) -> ComparedRuns:
    """Compare two runs or more; raises ValueError for fewer."""
    if len(runs) < 2:
        raise ValueError("a comparison needs two runs")
    return ComparedRuns(
        _names(runs),
        tuple(_differences(runs)),
        _curves(runs),
        tuple(_scores(runs, seed)),
        _cost(runs),
        tuple(_samples(runs)),
    )


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """The runs' names, or their whole paths where two are called alike."""
    short = [run.name.rpartition("/")[2] for run in runs]
    return tuple(short if len(set(short)) == len(short) else [run.name for run in runs])


def _differences(runs: Sequence[Run]) -> list[Difference]:
    """Those that a person wrote first, each in the order of the blueprint's sections."""
    leaves = [dict(run.loaded.leaves()) for run in runs]
    found = []
    for path in dict.fromkeys(path for one in leaves for path in one):
        values = tuple(one.get(path) for one in leaves)
        if any(value != values[0] for value in values) and path.rpartition(".")[2] not in ("notes", "name"):
            derived = all(path in run.loaded.derived or path not in one for run, one in zip(runs, leaves, strict=True))
            found.append(Difference(path, values, derived))
    return sorted(found, key=lambda one: one.derived)


def _curves(runs: Sequence[Run]) -> dict[str, dict[str, tuple[tuple[tuple[float, float], ...], ...]]]:
    found: dict[str, dict[str, tuple[tuple[tuple[float, float], ...], ...]]] = {}
    for stage, metrics in METRICS.items():
        rows = [run.metrics(stage) for run in runs]
        for key, _, _ in metrics:
            lines = tuple(
                tuple((float(row["step"]), float(row[key])) for row in one if row.get(key) is not None) for one in rows
            )
            if any(lines):
                found.setdefault(stage, {})[key] = lines
    return found


def _scores(runs: Sequence[Run], seed: int) -> list[ComparedScore]:
    bits = tuple(run.figure("evaluate", "bits_per_byte", "model") for run in runs)
    found = [ComparedScore("bits per byte", "pretrain", bits, (None,) * (len(runs) - 1))] if any(bits) else []
    models = [list(run.figure("evaluate", "answers") or ()) for run in runs]
    if not all(models):
        return found
    for model in dict.fromkeys(("sft", "last")):
        rows = [_answers(run, names[-1] if model == "last" else model) for run, names in zip(runs, models, strict=True)]
        if model == "last" and all(names[-1] == "sft" for names in models):
            continue
        for asked in dict.fromkeys(row["set"] for one in rows for row in one):
            of_set = [{row["question"]: row for row in one if row["set"] == asked} for one in rows]
            if all(of_set):
                for what, key in (("exact match", "exact"), ("token F1", "f1")):
                    found.append(_compared(f"{what}, {asked} questions", model, of_set, key, seed))
    return found


def _answers(run: Run, model: str) -> list[dict[str, Any]]:
    return [row for row in run.answers if row["model"] == model]


def _compared(
    what: str, model: str, answers: Sequence[Mapping[str, Mapping[str, Any]]], key: str, seed: int
) -> ComparedScore:
    first, *others = answers
    values = tuple(float(np.mean([row[key] for row in one.values()])) for one in answers)
    differences, paired = [], []
    for other in others:
        common = [question for question in first if question in other]
        together = len(common) >= MIN_PAIRED * min(len(first), len(other))
        paired.append(len(common) if together else 0)
        differences.append(
            bootstrap(
                [float(other[one][key]) - float(first[one][key]) for one in common],
                [first[one]["truth"] for one in common],
                RESAMPLES,
                seed,
            )
            if together
            else _unpaired(first, other, key, seed)
        )
    return ComparedScore(what, model, values, tuple(differences), tuple(paired))


def _unpaired(
    first: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]], key: str, seed: int
) -> Interval:
    """The difference of two means, each drawn on its own over its subjects: half the interval of either, squared and
    added (their errors are independent)."""
    means = []
    for rows in (first, other):
        values = [float(row[key]) for row in rows.values()]
        means.append(bootstrap(values, [row["truth"] for row in rows.values()], RESAMPLES, seed))
    before, after = means
    middle = after.mean - before.mean
    below = float(np.hypot(after.mean - after.low, before.high - before.mean))
    above = float(np.hypot(after.high - after.mean, before.mean - before.low))
    return Interval(middle, middle - below, middle + above)


def _cost(runs: Sequence[Run]) -> dict[str, tuple[tuple[float, int] | None, ...]]:
    measured = [{name: one.manifest.measured for name, one in run.artifacts.items()} for run in runs]
    stages = [name for name in (*NAMES, "report") if any(name in one for one in measured)]
    return {
        name: tuple((one[name].seconds, one[name].peak_rss_bytes) if name in one else None for one in measured)
        for name in stages
    }


def _samples(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Questions that all asked, evenly drawn from those whose answers differ, else from all."""
    last = []
    for run in runs:
        models = list(run.figure("evaluate", "answers") or ())
        last.append({(row["set"], row["question"]): row for row in (_answers(run, models[-1]) if models else ())})
    common = [key for key in last[0] if all(key in one for one in last)]
    differing = [key for key in common if len({one[key]["answer"] for one in last}) > 1] or common
    step = max(1, len(differing) // SAMPLES)
    return [
        {
            "question": question,
            "truth": last[0][asked, question]["truth"],
            "set": asked,
            "answers": [one[asked, question]["answer"] for one in last],
        }
        for asked, question in differing[::step][:SAMPLES]
    ]
