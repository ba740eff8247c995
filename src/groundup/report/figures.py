"""`report.json`: every figure of the report, for programs."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from groundup.pipeline.diagnosis import diagnose
from groundup.report.run import Run

CORRECT_SETS = ("taught", "given")  # questions in a phrasing of the training, or the user's own


def report_json(run: Run) -> dict[str, Any]:
    """A section for each stage with its figures, and `seconds`, `peak_rss_bytes`, `predicted`, `environment`,
    `artifacts` over all stages, and `diagnosis`. Stages that have not run are absent.

    Scores that the evaluation measured are listed with the stage that they are about: `pretrain.bits_per_byte`,
    `sft.exact_match`, `ppo.true_score_gain`.
    """
    found: dict[str, Any] = {"name": run.loaded.blueprint.name, "method": run.method}
    found["diagnosis"] = [asdict(one) for one in diagnose(run.artifacts)]
    found |= {stage: dict(run.figures(stage)) for stage in run.artifacts if stage != "evaluate"}
    if "sft" in found:
        found["sft"] |= _sft(run)
    evaluation = run.figures("evaluate")
    if evaluation:
        found.setdefault("pretrain", {})["bits_per_byte"] = evaluation.get("bits_per_byte")
        for model, by_set in evaluation.get("answers", {}).items():
            found.setdefault(model, {})["answers"] = by_set
        gains = {name: value for name, value in evaluation.items() if name.startswith("true_score")}
        if run.method:
            found[run.method] |= gains
        found["samples"] = evaluation.get("samples", [])
    measured = {stage: artifact.manifest.measured for stage, artifact in run.artifacts.items()}
    found["seconds"] = {stage: round(cost.seconds, 3) for stage, cost in measured.items()}
    found["peak_rss_bytes"] = {stage: cost.peak_rss_bytes for stage, cost in measured.items()}
    found["predicted"] = {stage: dict(values) for stage, values in run.predicted.items()}
    found["environment"] = {stage: artifact.manifest.provenance for stage, artifact in run.artifacts.items()}
    found["artifacts"] = {
        stage: {
            "folder": artifact.path.name,
            "content": artifact.manifest.content,
            "inputs": dict(artifact.manifest.key.inputs),
            "sources": dict(artifact.manifest.key.sources),
        }
        for stage, artifact in run.artifacts.items()
    }
    return found


def _sft(run: Run) -> dict[str, Any]:
    name, rates = correct(run)
    return {
        "symbols": run.figure("sft", "subjects"),
        "exact_match": rates.get("exact_match"),
        "token_f1": rates.get("token_f1"),
        "exact_match_set": name,
        "taught": taught_by_origin(run),
    }


def correct(run: Run, model: str | None = None) -> tuple[str | None, dict[str, Any]]:
    """The set of questions that measures how much of what was taught is known, and a model's rates on it (the model
    before alignment, where none is named)."""
    by_set = run.figure("evaluate", "answers", model or run.before) or {}
    return next(((name, by_set[name]) for name in CORRECT_SETS if name in by_set), (None, {}))


def taught_by_origin(run: Run) -> list[dict[str, Any]]:
    """How many subjects were taught from documents of each source and licence, and how many of them the SFT model
    answers exactly in a taught phrasing (None where that was not asked), the largest first."""
    marks = [row["exact"] for row in run.answers if row["model"] == "sft" and row["set"] == "taught"]
    asked = len(marks) == len(run.taught)  # one question for each subject, in the same order
    subjects: Counter[tuple[str, str]] = Counter()
    exact: Counter[tuple[str, str]] = Counter()
    for number, item in enumerate(run.taught):
        document = run.kept.named.get(item.document)
        origin = (document.source, document.licence) if document else ("", "")
        subjects[origin] += 1
        exact[origin] += bool(asked and marks[number])
    return [
        {"source": source, "licence": licence, "subjects": total, "exact": exact[source, licence] if asked else None}
        for (source, licence), total in sorted(subjects.items(), key=lambda one: (-one[1], one[0]))
    ]
