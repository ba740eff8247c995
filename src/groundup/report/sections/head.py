"""The outcome in words and in a few figures; how to talk to the model; where its training data came from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from groundup.report.figures import correct
from groundup.report.markup import Html, code, join, label, p, table, tag
from groundup.report.run import Run
from groundup.report.wording import (
    ABSENT,
    SPACE,
    count,
    counted,
    decimal,
    duration,
    listed,
    millions,
    percent,
    points,
    size,
)

ALIGNED = {"ppo": "PPO", "grpo": "GRPO", "dpo": "DPO"}
XZ = "xz\u00a0\u22129"  # the command with its option, not to be broken
SETS = {"taught": "taught phrasing", "unseen": "unseen phrasings", "given": "your own questions"}
PHRASINGS = {
    "taught": "in a phrasing of its training",
    "unseen": "in phrasings that were not used in training",
    "given": "your own questions",
}


def outcome(run: Run) -> Html:
    """The whole run in a few sentences."""
    first = [_made(run), _taught(run)]
    second = [sentence for sentence in (_gain(run), _compressed(run)) if sentence]
    return join(
        [
            p(" ".join(sentence for sentence in first if sentence), class_="lead"),
            p(" ".join(second), class_="lead") if second else None,
        ]
    )


def _made(run: Run) -> str:
    parameters, documents = run.figure("pretrain", "parameters"), run.figure("curate", "documents")
    name = run.loaded.blueprint.name
    what = f"a language model of {millions(parameters)} parameters" if parameters else "a run without a model yet"
    if documents is None:
        return f"{name} is {what}."
    where = ""
    if "pretrain" in run.artifacts:
        made = run.artifacts["pretrain"].manifest.provenance
        if {"threads", "device", "cpu"} <= made.keys():
            on = made["cpu"] if made["device"] == "cpu" else made["device"]
            where = f" on {counted(made['threads'], 'thread')} of {processor(on)}"
    took = duration(sum(artifact.manifest.measured.seconds for artifact in run.artifacts.values()))
    text = size(run.figure("curate", "bytes"))
    return f"{name} is {what}, made from {counted(documents, 'document')} ({text} of text) in {took}{where}."


def processor(name: str) -> str:
    """A processor's name without what only its maker needs."""
    return re.sub(r"\((R|TM|r|tm)\)|\bCPU\b|@.*$|\bProcessor\b|\b\d+-Core\b", "", name).strip().replace("  ", " ")


def subjects_word(run: Run) -> str:
    """What the subjects are: symbols or headings."""
    symbols = sum(item.aspect == "summary" for item in run.taught)
    return "symbols" if symbols * 2 > len(run.taught) else "headings"


def _taught(run: Run) -> str:
    subjects, examples = run.figure("sft", "subjects"), run.figure("sft", "examples")
    if subjects:
        start = f"It was taught what the documents say about {subjects:,} {subjects_word(run)}."
    elif examples:
        start = f"It was taught {counted(examples, 'example')} of yours."
    else:
        return ""
    known: list[str] = []
    first, rates = correct(run)
    unseen = run.figure("evaluate", "answers", run.before, "unseen") or {}
    if first == "taught":
        exact = percent(rates["exact_match"])
        known.append(f"{exact} of the documented answers to the letter when asked in a phrasing of its training")
    elif first == "given":
        known.append(f"{percent(rates['exact_match'])} of your own questions to the letter")
    if unseen:
        known.append(f"{percent(unseen['exact_match'])} in phrasings that were not used in training")
    return f"{start} After SFT it gives {listed(known)}." if known else start


def _gain(run: Run) -> str:
    gain, method = run.figure("evaluate", "true_score_gain"), run.method
    if not gain or not method:
        return ""
    where = PHRASINGS.get(run.figure("evaluate", "true_score_set") or "", "")
    return (
        f"{ALIGNED[method]} moved the mean true score (token F1 against the documents, {where}) by "
        f"{points(gain['mean'])} points of 100, 95{SPACE}% interval {points(gain['low'])} to {points(gain['high'])}: "
        f"{verdict(gain)}."
    )


def verdict(gain: dict[str, float]) -> str:
    """What an interval allows one to conclude."""
    if gain["low"] > 0:
        return "better than SFT alone, clear of chance"
    return "worse than SFT alone, clear of chance" if gain["high"] < 0 else "too small to distinguish from chance"


def _compressed(run: Run) -> str:
    bits = run.figure("evaluate", "bits_per_byte") or {}
    if bits.get("model") is None:
        return ""
    others = {"n-grams": bits["ngram"], f"{XZ} primed": bits["xz_primed"], XZ: bits["xz"]}
    beaten = [f"{name} ({decimal(other, 2)})" for name, other in others.items() if other > bits["model"]]
    ahead = [f"{name} ({decimal(other, 2)})" for name, other in others.items() if other <= bits["model"]]
    compared = [f"{word} than {listed(names)}" for word, names in (("fewer", beaten), ("more", ahead)) if names]
    return (
        f"On {counted(bits['documents'], 'held-out document')}, the pretrained model needs "
        f"{decimal(bits['model'], 2)} bits per byte: {', '.join(compared)}."
    )


def tiles(run: Run) -> Html:
    """The key figures, as far as there are any."""
    gain = run.figure("evaluate", "true_score_gain")
    asked, rates = correct(run)
    of_what = "in taught phrasings" if asked == "taught" else "of yours"
    unseen = run.figure("evaluate", "answers", run.before, "unseen") or {}
    bits = run.figure("evaluate", "bits_per_byte") or {}
    parameters = run.figure("pretrain", "parameters")
    peak = max((artifact.manifest.measured.peak_rss_bytes for artifact in run.artifacts.values()), default=None)
    took = sum(artifact.manifest.measured.seconds for artifact in run.artifacts.values())
    gain_of = f"gain by {ALIGNED[run.method]}" if run.method else "gain"
    shown: list[tuple[str, str, str | None]] = [
        (millions(parameters) if parameters else ABSENT, "parameters", _shape(run)),
        (count(run.figure("curate", "documents")), "documents", size(run.figure("curate", "bytes"))),
        (percent(rates.get("exact_match")), "answered exactly", f"{rates.get('questions', 0):,} {of_what}"),
        (percent(unseen.get("exact_match")), "answered exactly", f"{unseen.get('questions', 0):,} in unseen phrasings"),
        (
            points(gain["mean"]) if gain else ABSENT,
            gain_of,
            f"95{SPACE}%: {points(gain['low'])} to {points(gain['high'])}" if gain else None,
        ),
        (
            decimal(bits.get("model"), 2),
            "bits per byte",
            f"{XZ}: {decimal(bits['xz'], 2)}" if bits.get("xz") else None,
        ),
        (duration(took), "in total", f"{size(peak)} at most"),
    ]
    return tag(
        "dl",
        *(
            tag("div", tag("dt", label(what)), tag("dd", value, tag("small", more) if more else None))
            for value, what, more in shown
            if value != ABSENT
        ),
        class_="tiles",
    )


def _shape(run: Run) -> str | None:
    shape = run.json("pretrain", "model/config.json")
    return f"{shape['num_hidden_layers']} layers of {shape['hidden_size']}" if shape else None


def chat(run: Run) -> Html | None:
    """How to talk to the model, and what to ask."""
    card: dict[str, Any] | None = run.json("export", "groundup.json")
    if card is None:
        return None
    examples = card.get("examples") or []
    asked = p("Try: ", join((tag("q", one) for one in examples[:3]), between=" ")) if examples else None
    honest = p(card["introduction"]) if card.get("introduction") else None
    commands = f"groundup chat {run.name}\ngroundup serve {run.name}"
    return tag("div", tag("h3", "Talk to it"), tag("pre", commands, class_="commands"), asked, honest)


def lessons(run: Run) -> Html | None:
    """Where the data of SFT, the reward model and the evaluation came from."""
    rows = [row for row in (_sft_data(run), _reward_data(run), _evaluation_data(run)) if row]
    if not rows:
        return None
    return tag("div", tag("h3", "What it learned from"), table(["for", "data"], rows, class_="prose"))


def _named(path: Path) -> Html:
    return join([code(path.name), ", the file that the blueprint names"])


def _sft_data(run: Run) -> tuple[str, object] | None:
    figures, config = run.figures("sft"), run.loaded.blueprint.sft
    if not figures:
        return None
    if config.data is not None:
        return "SFT", join([counted(figures["examples"], "example"), " from ", _named(config.data)])
    source = "names, signatures and summaries" if subjects_word(run) == "symbols" else "titles, headings and paragraphs"
    return (
        "SFT",
        f"made from the documents: {counted(figures['questions'], 'question')} about their {source}, in "
        f"{counted(figures['examples'], 'phrasing')}",
    )


def _reward_data(run: Run) -> tuple[str, object] | None:
    figures, config = run.figures("reward"), run.loaded.blueprint.reward
    if not figures:
        return None
    pairs = counted(figures["pairs"] + figures["heldout_pairs"], "preference pair")
    if config.data is not None:
        return "Preferences", join([pairs, " from ", _named(config.data)])
    return (
        "Preferences",
        f"made from the documents: {pairs}, the right answer against another's, a cut, a repeated or an off-topic one",
    )


def _evaluation_data(run: Run) -> tuple[str, object] | None:
    answers, config = run.figure("evaluate", "answers"), run.loaded.blueprint.evaluate
    if not answers:
        return None
    total = sum(rates["questions"] for rates in answers[run.before].values())
    if config.data is not None:
        return "Evaluation", join([counted(total, "question"), " from ", _named(config.data)])
    if not total:
        return "Evaluation", "no questions: the examples of SFT come from a file, and none was named for the evaluation"
    return (
        "Evaluation",
        f"made from the documents: {counted(total, 'question')}, each about something taught, most in phrasings kept "
        "for this alone",
    )
