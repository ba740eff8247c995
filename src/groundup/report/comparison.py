"""The page of `groundup align compare`: what each method's answers are worth, at equal KL and at equal compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from groundup.report.markup import Html, figure, h3, join, number, p, side_by_side, table, tag
from groundup.report.page import SPROUT, document_head
from groundup.report.plots import Curve, curves
from groundup.report.wording import ABSENT, counted

NAMES = {
    "sft": "SFT on the same questions",
    "best_of": "best of n",
    "dpo": "DPO on the reward stage's pairs",
    "dpo_own": "DPO on the model's own answers",
    "ppo": "PPO",
    "grpo": "GRPO",
}
TRUTHS = {
    "documents": "the documents' own",
    "exam": "those of evaluate.data",
    "pairs": "those preferred in held-out pairs",
}
Points = Sequence[Mapping[str, Any]]


def comparison_page(found: Mapping[str, Any], title: str) -> Html:
    """One HTML document, which asks for nothing else, of `comparison.json`."""
    sprout = Html(f'<svg viewBox="0 0 32 32" aria-hidden="true" class="sprout"><path d="{SPROUT}"/></svg>')
    heading = f"{title}: alignment compared"
    header = tag("header", tag("p", sprout, "groundup", class_="brand"), tag("h1", heading), _lead(found))
    sections = [
        ("figures", "What each method reaches", _table(found)),
        ("curves", "Truth and reward over KL", _curves(found)),
    ]
    body = (tag("section", tag("h2", name), content, id=anchor) for anchor, name, content in sections)
    page = tag("html", document_head(heading), tag("body", header, tag("main", *body)), lang="en")
    return join([Html("<!doctype html>\n"), page, "\n"])


def _methods(found: Mapping[str, Any]) -> list[str]:
    return [name for name in NAMES if name in found["ends"]]


def _lead(found: Mapping[str, Any]) -> Html:
    settings, start = found["settings"], found["start"]
    return join(
        [
            p(
                "Every method starts from one SFT model. Its own sampled answers have a token F1 of ",
                f"{start['truth']:.3f} against {TRUTHS[settings['truth']]}, on ",
                f"{counted(settings['questions'], 'question')} that nothing has trained on. ",
                f"Answers are sampled at temperature {settings['temperature']:g}; ",
                f"{counted(settings['seeds'], 'seed')}.",
                class_="lead",
            ),
            p(
                "SFT on the questions that reinforcement learning asks, with good answers and about as much compute as "
                "PPO has, is the control: what doesn't do better than that has learnt from the reward model nothing "
                "that its labels could not teach directly. Best of n needs no training, but n times as many answers "
                "each time.",
            ),
        ]
    )


def _table(found: Mapping[str, Any]) -> Html:
    rows = []
    for name in _methods(found):
        end = found["ends"][name]
        rate = end["wins"]["rate"]
        rows.append(
            (
                NAMES[name] + (f" (n = {end['beta']})" if name == "best_of" else ""),
                _range(end["truth"]),
                f"{100 * rate['mean']:.0f} % ({100 * rate['low']:.0f} to {100 * rate['high']:.0f})",
                f"{100 * end['wins']['length_controlled']:.0f} %",
                f"{end['kl']:.2f}",
                f"{end['tokens']:.1f}",
                f"{end['seconds']:,.0f}",
            )
        )
    heads = ("token F1", "wins over SFT", "at equal length", "KL", "tokens", "CPU s")
    return join(
        [
            table(["", *(number(name) for name in heads)], rows),
            p(
                "At the end of training with the blueprint's own weight of the KL; ranges are over seeds. Wins are in "
                "token F1 over the SFT model's sampled answers, ties half, of all seeds together, with a 95 % interval "
                "over subjects and seeds.",
                class_="note",
            ),
            *_along(found, "equal_kl", "Token F1 at equal KL", "KL ", ".2f"),
            p(
                "Along each method's frontier, which its trainings with all weights of the KL make together, at the "
                "distances from the SFT model up to which the methods get. A dash: the method does not get so far.",
                class_="note",
            ),
            *_along(found, "equal_compute", "Token F1 at equal compute", "", ",.0f", " CPU s"),
            p("With the blueprint's own weight of the KL, at the times at which trainings end.", class_="note"),
        ]
    )


def _along(found: Mapping[str, Any], axis: str, title: str, before: str, form: str, after: str = "") -> list[Html]:
    at, scores = found[axis]["at"], found[axis]["scores"]
    rows = [(NAMES[name], *map(_range, scores[name])) for name in _methods(found) if name in scores]
    return [h3(title), table(["", *(number(f"{before}{one:{form}}{after}") for one in at)], rows)]


def _range(scores: Sequence[float] | None) -> str:
    if scores is None:
        return ABSENT
    spread = f" ({min(scores):.3f} to {max(scores):.3f})" if len(scores) > 1 else ""
    return f"{mean(scores):.3f}{spread}"


def _curves(found: Mapping[str, Any]) -> Html:
    """Of each method truth and reward over the square root of the KL, in which reward grows about evenly."""
    points: Points = found["points"]
    start = found["start"]
    parts = [
        p(
            "A dot is the mean over seeds at a look or at the end of a training, for one weight of the KL; the band is "
            "their range. Where the reward still rises and truth falls, the policy exploits the reward model's errors "
            "(over-optimisation, arXiv 2210.10760).",
        )
    ]
    for name in (one for one in _methods(found) if one != "best_of"):
        drawn = []
        for key, what in (("truth", "Token F1 against the true answer"), ("proxy", "Score of the reward model")):
            lines = [
                _line(NAMES[name], [one for one in points if one["method"] == name], key, start, "a"),
                _line(NAMES["best_of"], [one for one in points if one["method"] == "best_of"], key, start, "c"),
            ]
            drawing = curves(f"{name}-{key}", f"{what}, {NAMES[name]}", lines, x_label="√KL", y_label=key)
            drawn.append(figure(what, drawing))
        parts += [h3(NAMES[name]), side_by_side(*drawn)]
    return join(parts)


def _line(label: str, points: Points, key: str, start: Mapping[str, float], colour: str) -> Curve:
    looks: dict[tuple[Any, int], list[Mapping[str, Any]]] = {}
    for one in points:
        looks.setdefault((one["beta"], one["step"]), []).append(one)
    rows = [(0.0, start[key], start[key], start[key])]
    for group in looks.values():
        values = [one[key] for one in group]
        rows.append((math.sqrt(mean(one["kl"] for one in group)), mean(values), min(values), max(values)))
    x, y, low, high = (list(column) for column in zip(*sorted(rows), strict=True))
    return Curve(label, x, y, colour, low, high, dots=True)
