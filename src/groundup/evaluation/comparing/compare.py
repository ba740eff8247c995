"""All methods over weights of the KL and seeds, and what they reach at equal KL and at equal compute."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    for seed in range(seeds):
        if not any(one["method"] == "best_of" and one["seed"] == seed for one in done):
            note(f"best of {max(COUNTS)}, seed {seed}")
            of_seed = {"method": "best_of", "seed": seed, "step": 0, "last": True, "seconds": 0.0}
            best = zip(COUNTS, measuring.best_of(COUNTS, seed), strict=True)
            done += _append(folder / POINTS, [of_seed | {"beta": count} | scores for count, scores in best])
    for method in METHODS:
        for beta in betas.get(method, ()):
            for seed in range(seeds):
                key = (method, beta, seed)
                if any((one["method"], one["beta"], one["seed"]) == key for one in done):
                    continue
                note(f"{method}, beta {beta}, seed {seed}" if beta is not None else f"{method}, seed {seed}")
                done += _append(folder / POINTS, _trained(trainer, measuring, *key))
    start = {"kl": 0.0} | measuring.scores(measuring.start)
    own = {"best_of": max(COUNTS)} | {name: of[0] for name, of in betas.items()}
    result = {
        "settings": dict(settings),
        "start": _without_answers(start),
        "points": [_without_answers(one) for one in done],
        "ends": ends(done, own, measuring),
        **summary(done, start["truth"], own),
    }
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


def ends(points: Sequence[Point], own: Mapping[str, float | None], measuring: Measuring) -> dict[str, dict[str, Any]]:
    """Of each method at the end of training with its `own` beta: means over seeds, `truth` of each seed, and `wins`
    over the SFT model of all seeds together."""
    found = {}
    for name in _methods(points):
        of = [one for one in points if one["method"] == name and one["last"] and one["beta"] == own[name]]
        means = {key: fmean(one[key] for one in of) for key in ("kl", "proxy", "tokens", "ended", "seconds")}
        truth = [one["truth"] for one in of]
        found[name] = {"beta": own[name], "truth": truth, "wins": asdict(measuring.wins(of)), **means}
    return found


def summary(points: Sequence[Point], start: float, own: Mapping[str, float | None]) -> dict[str, dict[str, Any]]:
    """`equal_kl`: each method's true score along its frontier, which all of its points make, whatever their beta.
    `equal_compute`: along its training with its `own` beta, over processor seconds.

    Read at the values `at` of the axis up to which the methods but the farthest get, and there between points, of which
    the SFT model is the first; `scores` has a number for each seed, or null where the method does not get so far.
    """
    of = {name: [one for one in points if one["method"] == name] for name in _methods(points)}
    trained = {name: [one for one in its if one["beta"] == own[name]] for name, its in of.items() if name != "best_of"}
    return {"equal_kl": _along("kl", of, start), "equal_compute": _along("seconds", trained, start)}


def _along(axis: str, of: Mapping[str, Sequence[Point]], start: float) -> dict[str, Any]:
    curves = {name: _curves(axis, points, start) for name, points in of.items()}
    reach = {name: min(float(curve[0][-1]) for curve in its) for name, its in curves.items()}
    every = sorted(set(reach.values()))
    at = every[:-1] or every
    scores = {
        name: [[float(np.interp(x, *curve)) for curve in its] if x <= reach[name] else None for x in at]
        for name, its in curves.items()
    }
    return {"at": at, "scores": scores}


def _curves(axis: str, points: Sequence[Point], start: float) -> list[NDArray[np.float64]]:
    """Of each seed the axis and the true score [2, points]."""
    found = []
    for seed in sorted({one["seed"] for one in points}):
        curve = sorted([(0.0, start), *((one[axis], one["truth"]) for one in points if one["seed"] == seed)])
        found.append(np.array(curve).T)
    return found


def _methods(points: Sequence[Point]) -> list[str]:
    return [name for name in ("best_of", *METHODS) if any(one["method"] == name for one in points)]


def _without_answers(point: Point) -> Point:
    return {key: value for key, value in point.items() if key not in ("better", "lengths")}


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
