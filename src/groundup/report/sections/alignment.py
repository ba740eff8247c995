"""Learning to answer: SFT on questions, the reward model on pairs, and PPO or DPO against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.alignment.configuration import GrpoConfig, PolicyConfig
from groundup.report.configuration import ReportConfig
from groundup.report.figures import taught_by_origin
from groundup.report.markup import (
    BAR,
    Heading,
    Html,
    bar,
    details,
    facts,
    figure,
    h3,
    join,
    number,
    p,
    side_by_side,
    table,
    term,
)
from groundup.report.plots import Curve, curve_of, curves, histogram
from groundup.report.run import Run
from groundup.report.wording import ABSENT, count, decimal, percent

KINDS = {
    "other": "the right answer to another question",
    "truncated": "the right answer, cut short",
    "repeated": "the right answer, repeated",
    "off_topic": "a true statement about something else",
    "own": "an error that the SFT model made itself",
    "given": "as in your file",
}
PPO_CURVES = (  # metric, title, y label, how to read it
    (
        "heldout_truth",
        "Right answers (true score)",
        "fraction",
        "On questions to tune by, at temperature 0. If the score rises and this falls, the reward is being exploited.",
    ),
    ("score", "Score of the reward model", "score", "0 is a right answer of the documents, on average."),
    (
        "kl",
        "Distance from the SFT model (KL)",
        "nats per answer",
        "How far the answers have moved; the penalty limits it.",
    ),
    (
        "entropy",
        "Entropy of the policy",
        "nats per token",
        "How undecided it is. Near 0 it always gives the same answer.",
    ),
    ("reward", "Reward: score less penalties", "reward", "What is maximised: the score, less the weight times the KL."),
)
MORE_PPO_CURVES = (
    ("answer_tokens", "Length of the answers", "tokens", None),
    ("ended", "Answers that ended in time", "fraction", None),
    (
        "explained_variance",
        "Explained variance of the critic",
        "fraction",
        "1 is a perfect critic, 0 one that knows nothing.",
    ),
    ("clip_fraction", "Clipped ratios", "fraction", None),
    (
        "effective_samples",
        "Effective sample size",
        "fraction of the tokens",
        "1 where the policy is the one that sampled.",
    ),
    (
        "groups_alike",
        "Groups without variance",
        "fraction",
        "All answers to a prompt have the same score: nothing to learn.",
    ),
    (
        "sampler_gap",
        "Sampler against trainer",
        "nats per token",
        "Mean difference of log-probabilities: rounding alone.",
    ),
    ("approximate_kl", "Step of the policy within an iteration", "nats per token", None),
    ("kl_beta", "Weight of the KL penalty", "weight", None),
    ("loss", "Loss of the policy", "loss", None),
    ("value_loss", "Loss of the critic", "loss", None),
)


def alignment(run: Run, config: ReportConfig) -> Html | None:
    """SFT, reward model, and PPO or DPO, as far as they have run."""
    parts = [
        part
        for part in (_sft(run), _reward(run), _policy(run, "ppo"), _policy(run, "grpo"), _dpo(run))
        if part is not None
    ]
    return join(parts) if parts else None


def _sft(run: Run) -> Html | None:
    figures = run.figures("sft")
    if not figures:
        return None
    rows, made = run.metrics("sft"), figures["made_from_documents"]
    drawing = curves(
        "sft-loss",
        "Loss of SFT on answers, in training and on phrasings that are not trained.",
        [curve_of(rows, "loss", "training"), curve_of(rows, "heldout_loss", "unseen phrasings", "b", dots=True)],
        y_label="nats per answer token",
        below=curve_of(rows, "learning_rate", "learning rate", "c"),
    )
    return join(
        [
            h3(term("SFT"), ": questions and answers"),
            p(
                "Questions with the answers of the documents." if made else "Questions and answers from your file.",
                " Only the answers and the token that ends them are learned.",
            ),
            side_by_side(
                figure("Loss", drawing) if rows else None,
                facts(
                    [
                        ("subjects", count(figures["subjects"]) if figures.get("subjects") else None),
                        ("questions", count(figures["questions"])),
                        ("phrasings of them", count(figures["examples"]) if made else None),
                        ("steps", count(figures["steps"])),
                        ("padding", _padding(run)),
                        ("validation loss", decimal(figures["heldout_loss"], 3) if "heldout_loss" in figures else None),
                    ]
                ),
            ),
            _taught(run),
        ]
    )


def _padding(run: Run) -> str | None:
    """The fraction of padding in the batches, and what it would have been the other way."""
    fractions = run.figure("sft", "padding")
    if not fractions:
        return None
    made, other = ("packed", "padded") if run.loaded.blueprint.sft.pack else ("padded", "packed")
    return f"{percent(fractions[made])} ({percent(fractions[other])} if examples were {other})"


def _taught(run: Run) -> Html | None:
    found = taught_by_origin(run)
    if len(found) < 2:
        return None
    rows = [
        (
            one["source"] or "unknown",
            one["licence"] or "not stated",
            count(one["subjects"]),
            percent(one["exact"] / one["subjects"]) if one["exact"] is not None else ABSENT,
        )
        for one in found
    ]
    columns: list[Heading] = ["taught from", "licence", number("subjects"), number("answered exactly")]
    return details(f"Where the {sum(one['subjects'] for one in found):,} subjects are from", table(columns, rows))


def _reward(run: Run) -> Html | None:
    figures = run.figures("reward")
    if not figures:
        return None
    accuracy = figures.get("heldout_accuracy")
    held = figures["heldout_pairs"]
    about = "subjects" if figures["made_from_documents"] else "prompts"
    measured = (
        f"Of {held:,} pairs about {about} that it has not compared in training, it prefers the right answer in "
        f"{percent(accuracy)}."
        if accuracy is not None
        else "No pair was left to measure it on."
    )
    kinds = [
        (KINDS.get(kind, kind), bar(one["accuracy"]), percent(one["accuracy"]), count(one["pairs"]))
        for kind, one in (figures.get("by_kind") or {}).items()
    ]
    columns: list[Heading] = ["against", BAR, number("prefers the right one"), number("pairs")]
    own = figures.get("own_answers") or {}
    judges = [
        (title, bar(one["accuracy"]), percent(one["accuracy"]), f"{percent(one['low'])} to {percent(one['high'])}")
        for title, one in _judges(own)
    ]
    own_columns: list[Heading] = ["judge", BAR, number("prefers the right one"), number("95 % interval")]
    return join(
        [
            h3(term("reward model", "Reward model"), ": a judge of answers"),
            p(f"The SFT model, trained on {figures['pairs']:,} pairs to score the better answer higher. {measured}"),
            table(columns, kinds) if kinds else None,
            p(
                f"The pairs above have wrong answers that were made up. In {own['pairs']:,} pairs of a right and a "
                "wrong answer that the SFT model itself sampled, judged by the checker, it is compared with what needs "
                f"no training. Its stated probabilities are off by {decimal(own['calibration_error'], 2)} on average, "
                f"and its scores correlate with length by {decimal(own['length_correlation'], 2)}."
            )
            if judges
            else None,
            table(own_columns, judges) if judges else None,
            side_by_side(*_reward_figures(run)),
        ]
    )


def _judges(own: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The reward model, also by category, and what needs no training, with their accuracy."""
    if not own.get("pairs"):
        return []
    by_category = [(f"reward model, {name}", one) for name, one in own["by_category"].items()]
    free = {
        "log_probability": "log-probability of the SFT model, summed",
        "mean_log_probability": "log-probability of the SFT model, per token",
        "longer": "the longer answer",
    }
    return [("reward model", own["reward"]), *by_category, *((free[name], one) for name, one in own["free"].items())]


def _reward_figures(run: Run) -> list[Html]:
    drawn = []
    rows, scores = run.metrics("reward"), run.json("reward", "records/heldout_scores.json")
    scale = run.json("reward", "model/scale.json") or {"mean": 0.0, "deviation": 1.0}
    if scores and scores["chosen"]:
        values = {
            kind: [(score - scale["mean"]) / scale["deviation"] for score in scores[key]]
            for kind, key in (("right answers", "chosen"), ("rejected answers", "rejected"))
        }
        drawing = histogram(
            "reward-scores",
            "Histogram of the scores of right and rejected held-out answers.",
            values,
            x_label="score",
            y_label="held-out answers",
        )
        drawn.append(figure("Scores of held-out answers", drawing, "The less they overlap, the better the judge."))
    if rows:
        drawing = curves(
            "reward-accuracy",
            "Accuracy of the reward model over the steps, in training and on held-out pairs.",
            [curve_of(rows, "accuracy", "training"), curve_of(rows, "heldout_accuracy", "validation", "b", dots=True)],
            y_label="right one preferred",
        )
        drawn.append(figure("Accuracy while it learns", drawing))
    return drawn


def _policy(run: Run, method: str) -> Html | None:
    figures, rows = run.figures(method), run.metrics(method)
    if not figures:
        return None
    blueprint: PolicyConfig = getattr(run.loaded.blueprint, method)
    asked = " in phrasings of their own" if run.figure("sft", "made_from_documents") else ""
    own = isinstance(blueprint, GrpoConfig) and blueprint.data is not None
    judge = "the tasks' verifiers score" if own else "the reward model scores"
    return join(
        [
            h3(term(method.upper()), ": practice against a score"),
            p(
                f"In each of {figures['iterations']} iterations the model answers {blueprint.rollouts} questions"
                f"{asked}, {judge} the answers, and the model moves towards what scored well; a "
                "penalty on the distance keeps it near the SFT model."
            ),
            side_by_side(*_small(rows, PPO_CURVES, method)),
            p(
                term("KL"),
                ", ",
                term("entropy"),
                ", ",
                term("critic"),
                " and ",
                term("clip fraction"),
                " are explained below.",
                class_="note",
            ),
            details(f"More curves of {method.upper()}", side_by_side(*_small(rows, MORE_PPO_CURVES, method)))
            if rows
            else None,
        ]
    )


def _small(
    rows: Sequence[Mapping[str, Any]], chosen: Sequence[tuple[str, str, str, str | None]], name: str
) -> list[Html]:
    drawn = []
    for key, title, y_label, note in chosen:
        curve = curve_of(rows, key, title)
        if curve is not None:
            label = f"{title} over {len(curve.y)} iterations, from {curve.y[0]:.3g} to {curve.y[-1]:.3g}."
            drawing = curves(f"{name}-{key}", label, [curve], x_label="iteration", y_label=y_label)
            drawn.append(figure(title, drawing, note))
    return drawn


def _dpo(run: Run) -> Html | None:
    figures, rows = run.figures("dpo"), run.metrics("dpo")
    if not figures:
        return None
    accuracy = figures.get("heldout_accuracy")
    held = f" On held-out pairs it does so in {percent(accuracy)}." if accuracy is not None else ""
    gains: list[Curve | None] = [
        curve_of(rows, "chosen_gain", "chosen"),
        curve_of(rows, "rejected_gain", "rejected", "b"),
    ]
    drawn = [
        figure(
            "Gain in log-probability over the SFT model",
            curves(
                "dpo-gains",
                "Mean gain in log-probability of chosen and rejected answers over the SFT model.",
                gains,
                y_label="nats per answer",
                zero=True,
            ),
            "The rejected ones should fall behind. That both fall is common, and worth watching.",
        ),
        figure(
            "Pairs in which the chosen answer gained more",
            curves(
                "dpo-accuracy",
                "Fraction of pairs in which the chosen answer gained more than the rejected one.",
                [
                    curve_of(rows, "accuracy", "training"),
                    curve_of(rows, "heldout_accuracy", "validation", "b", dots=True),
                ],
                y_label="fraction",
            ),
        ),
        figure(
            "Loss", curves("dpo-loss", "Loss of DPO.", [curve_of(rows, "loss", "training")], y_label="nats per pair")
        ),
    ]
    return join(
        [
            h3(term("DPO"), ": the pairs themselves"),
            p(
                f"The model learns from {figures['pairs']:,} pairs to make the chosen answer likelier against the "
                f"rejected one, without sampling.{held}"
            ),
            side_by_side(*drawn) if rows else None,
        ]
    )
