"""How well each model answers, by a checker that knows the true answer, and the answers themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.evaluation.checker import exact
from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, figure, h3, join, number, p, side_by_side, table, tag, term
from groundup.report.plots import histogram, interval
from groundup.report.run import Run
from groundup.report.sections.head import ALIGNED, PHRASINGS, SETS, verdict
from groundup.report.wording import SPACE, count, decimal, percent, points

MODELS = {"start": "as it came", "pretrain": "pretrained", "sft": "SFT", **ALIGNED}
CHANGED = 3  # answers shown of those that got better, and of those that got worse


def scores(run: Run, config: ReportConfig) -> Html | None:
    """The table of scores, the gain, and answers side by side."""
    answers = run.figure("evaluate", "answers")
    if answers is None:
        return None
    if not any(answers.values()):
        return p(
            "There was nothing to ask: the examples of SFT come from a file, and the blueprint names no questions for "
            "the evaluation."
        )
    return join(
        [
            p(
                "Each question is asked once and the likeliest answer is compared with the documents: ",
                term("exact match"),
                ", and ",
                term("token F1"),
                ", which also counts answers that are nearly right.",
            ),
            _table(answers),
            *_gain(run),
            *_changed(run),
            *_samples(run),
        ]
    )


def _table(answers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Html:
    rows = [
        (
            MODELS.get(model, model),
            SETS.get(name, name),
            count(rates["questions"]),
            percent(rates["exact_match"]),
            decimal(rates["token_f1"], 3),
            percent(rates["ended"]),
        )
        for name in next(iter(answers.values()))
        for model, by_set in answers.items()
        for rates in (by_set[name],)
    ]
    return table(
        [
            "model",
            "asked",
            number("questions"),
            number("exact match"),
            number("token F1"),
            number("ended"),
        ],
        rows,
    )


def _gain(run: Run) -> list[Html]:
    gain, method = run.figure("evaluate", "true_score_gain"), run.method
    if not gain or method is None:
        return []
    name = ALIGNED[method]
    better, worse = run.figure("evaluate", "true_score_better"), run.figure("evaluate", "true_score_worse")
    where = PHRASINGS.get(run.figure("evaluate", "true_score_set"), "")
    summary = (
        f"{points(gain['mean'])} points of token F1 on average, 95{SPACE}% interval {points(gain['low'])} to "
        f"{points(gain['high'])}"
    )
    drawing = interval(
        f"{method}-gain",
        f"Gain of {name} over SFT: {summary}.",
        100 * gain["mean"],
        100 * gain["low"],
        100 * gain["high"],
        x_label=f"{name} less SFT, points of token F1",
    )
    changed = (
        f"{percent(better)} of the answers became better, {percent(worse)} worse, the rest scores the same. "
        if better is not None and worse is not None
        else ""
    )
    return [
        h3(f"What {name} changed"),
        p(
            f"Asked {where}: {summary}: {verdict(gain)}. {changed}The interval is a ",
            term("bootstrap"),
            " over subjects, as questions about the same subject are not independent.",
        ),
        side_by_side(figure(f"Gain of {name} over SFT, with its 95{SPACE}% interval", drawing), _spread(run, method)),
    ]


def _spread(run: Run, method: str) -> Html | None:
    """How the scores of the single answers are spread, before and after."""
    asked = run.figure("evaluate", "true_score_set")
    values = {
        MODELS[model]: [row["f1"] for row in run.answers if row["model"] == model and row["set"] == asked]
        for model in (run.before, method)
    }
    if not all(values.values()):
        return None
    drawing = histogram(
        f"{method}-f1",
        "Histogram of the token F1 of the answers, before and after.",
        values,
        x_label="token F1 of an answer",
        y_label="answers",
        bins=20,
        limits=(0.0, 1.0),
    )
    return figure("Answers by their score", drawing, "At 1 are those that are right.")


def _changed(run: Run) -> list[Html]:
    """The answers that gained and lost most."""
    method, name = run.method, run.figure("evaluate", "true_score_set")
    by_model = {
        model: [row for row in run.answers if row["model"] == model and row["set"] == name]
        for model in (run.before, method)
    }
    if method is None or not by_model[run.before] or len(by_model[run.before]) != len(by_model[method]):
        return []
    pairs = list(zip(by_model[run.before], by_model[method], strict=True))
    pairs.sort(key=lambda pair: (pair[0]["f1"] - pair[1]["f1"], pair[0]["question"]))
    best = [pair for pair in pairs[:CHANGED] if pair[1]["f1"] > pair[0]["f1"]]
    worst = [pair for pair in pairs[::-1][:CHANGED] if pair[1]["f1"] < pair[0]["f1"]]
    shown = []
    for title, chosen in (("that gained most", best), ("that lost most", worst)):
        if chosen:
            cards = (
                _card(a["question"], a["truth"], {run.before: a["answer"], method: b["answer"]}) for a, b in chosen
            )
            shown += [h3(f"Answers {title}"), *cards]
    return shown


def _samples(run: Run) -> list[Html]:
    samples: Sequence[Mapping[str, Any]] = run.figure("evaluate", "samples") or []
    if not samples:
        return []
    stages = [name for name in MODELS if name in samples[0]]
    return [
        h3("Sample answers at each stage"),
        p("Evenly drawn from all questions, not chosen. The pretrained model has not been taught to answer."),
        *(_card(one["question"], one["truth"], {name: one[name] for name in stages}, one["set"]) for one in samples),
    ]


def _card(question: str, truth: str, answers: Mapping[str, str], asked: str | None = None) -> Html:
    """A question, the documents' answer, and the models' answers next to each other."""
    cells = [tag("div", tag("dt", "the documents"), tag("dd", truth, dir="auto"), class_="truth")]
    for model, answer in answers.items():
        right = exact(answer, truth)
        mark = tag("span", "✓" if right else "✗", role="img", aria_label="right" if right else "not the same")
        shown = re.sub(r"\s*\n\s*", "\n", answer.strip()) or tag("em", "nothing")
        cells.append(
            tag(
                "div",
                tag("dt", MODELS.get(model, model), " ", mark),
                tag("dd", shown, dir="auto"),
                class_="right" if right else "wrong",
            )
        )
    where = tag("small", SETS.get(asked, asked)) if asked else None
    return tag("article", tag("h4", question, where, dir="auto"), tag("dl", *cells), class_="answers")
