"""All methods over weights of the KL and seeds, and what they reach at equal KL and at equal compute."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundup.artifacts.durable import sync, write_text
from groundup.artifacts.json_files import parse_json
from groundup.errors import GroundupError
from groundup.evaluation.comparing.measuring import Measuring
from groundup.evaluation.comparing.methods import METHODS, MethodTrainer
from groundup.model.decoder import CustomLanguageModel

POINTS, COMPARISON = "points.jsonl", "comparison.json"
COUNTS = (2, 4, 8, 16)  # of best-of-n
Point = dict[str, Any]


def compare(
    folder: Path,
    trainer: MethodTrainer,
    measuring: Measuring,
    betas: Mapping[str, Sequence[float | None]],
    seeds: int,
    settings: Mapping[str, Any],
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train and measure whatever `folder` does not hold yet, and write `comparison.json`, which it returns.

    Args:
        betas: of each method the weights of the KL, the blueprint's own first; `[None]` of one that has none.
        settings: what the figures depend on; a folder of other settings is refused.

    Raises:
        GroundupError: the folder is of other settings, or a training diverges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = _read(folder / POINTS, settings)
    for count in COUNTS:
        if not any(one["method"] == "best_of" and one["beta"] == count for one in done):
            note(f"best of {count}")
            of_count = {"method": "best_of", "beta": count, "seed": 0, "step": 0, "last": True, "seconds": 0.0}
            done += _append(folder / POINTS, [of_count | measuring.best_of(count)])
    for method in METHODS:
        for beta in betas.get(method, ()):
            for seed in range(seeds):
                key = (method, beta, seed)
                if any((one["method"], one["beta"], one["seed"]) == key for one in done):
                    continue
                note(f"{method}, beta {beta}, seed {seed}" if beta is not None else f"{method}, seed {seed}")
                done += _append(folder / POINTS, _trained(trainer, measuring, *key))
    start = {"kl": 0.0} | measuring.scores(measuring.start)
    result = {"settings": dict(settings), "start": start, "points": done, **summary(done, start["truth"], betas)}
    write_text(folder / COMPARISON, json.dumps(result, indent=1) + "\n")
    return result


def _trained(trainer: MethodTrainer, measuring: Measuring, method: str, beta: float | None, seed: int) -> list[Point]:
    found: list[Point] = []

    def look(step: int, seconds: float, model: CustomLanguageModel) -> None:
        of_look = {"method": method, "beta": beta, "seed": seed, "step": step, "last": False, "seconds": seconds}
        found.append(of_look | measuring.policy(model))

    trainer.train(method, beta, seed, look)
    found[-1]["last"] = True
    return found


def summary(
    points: Sequence[Point], start: float, betas: Mapping[str, Sequence[float | None]]
) -> dict[str, dict[str, Any]]:
    """`equal_kl`: each method's true score at the largest KL that all reach. `equal_compute`: with the blueprint's own
    beta, at the processor seconds that the shortest training takes.

    Both are read between points, of which the SFT model is the first; `scores` has a number for each seed.
    """
    methods = [name for name in ("best_of", *METHODS) if any(one["method"] == name for one in points)]
    of = {name: [one for one in points if one["method"] == name] for name in methods}
    kl = min(max(one["kl"] for one in of[name] if one["last"]) for name in methods)
    trained = [name for name in methods if name != "best_of"]
    own = {name: [one for one in of[name] if one["beta"] == betas[name][0]] for name in trained}
    seconds = min((max(one["seconds"] for one in own[name]) for name in trained), default=0.0)
    at_kl, at_seconds = {}, {}
    for name in methods:
        ends = [one for one in of[name] if one["last"]]
        at_kl[name] = _by_seed(ends, "kl", kl, start)
    for name in trained:
        at_seconds[name] = _by_seed(own[name], "seconds", seconds, start)
    return {
        "equal_kl": {"kl": kl, "scores": at_kl},
        "equal_compute": {"seconds": seconds, "scores": at_seconds},
    }


def _by_seed(points: Sequence[Point], axis: str, at: float, start: float) -> list[float]:
    """Of each seed the true score at a value of the axis, read between its points."""
    found = []
    for seed in sorted({one["seed"] for one in points}):
        curve = sorted([(0.0, start), *((max(0.0, one[axis]), one["truth"]) for one in points if one["seed"] == seed)])
        found.append(float(np.interp(at, *np.array(curve).T)))
    return found


def _append(path: Path, points: list[Point]) -> list[Point]:
    """The points of one training, all or none of them."""
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(point) + "\n" for point in points))
    sync(path)
    return points


def _read(path: Path, settings: Mapping[str, Any]) -> list[Point]:
    """The points that are there; the first line holds the settings."""
    first = json.dumps({"settings": dict(settings)})
    if not path.exists():
        write_text(path, first + "\n")
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines or lines[0].rstrip("\n") != first:
        raise GroundupError(
            "was made with other settings", where=str(path), do="remove it, or name another folder with --out"
        )
    try:
        points: list[Point] = [parse_json(line.encode(), dict[str, Any]) for line in lines[1:] if line.endswith("\n")]
    except ValueError as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do="remove it") from error
    whole = {(one["method"], one["beta"], one["seed"]) for one in points if one["last"]}
    kept = [one for one in points if (one["method"], one["beta"], one["seed"]) in whole]
    write_text(path, first + "\n" + "".join(json.dumps(one) + "\n" for one in kept))
    return kept
