"""Time and memory against the forecast, the machine, and what was made from what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundup.planning.predicted import compare
from groundup.report.configuration import ReportConfig
from groundup.report.markup import BAR, Heading, Html, bar, code, details, facts, h3, join, number, p, table, tag
from groundup.report.run import NAMES, Run
from groundup.report.sections.head import processor
from groundup.report.wording import count, duration, listed, relative, size

PACKAGES = ("groundup", "python", "torch", "numpy", "numba", "pyarrow")
ELSEWHERE = ("platform", "cpu", "threads", "device")
SHORT = 12  # hex digits of a digest that are shown


def cost(run: Run, config: ReportConfig) -> Html | None:
    """Time and memory, environment, lineage."""
    if not run.artifacts:
        return None
    return join([*_measured(run), *_environment(run), *_lineage(run)])


def _measured(run: Run) -> list[Html]:
    measured = {stage: artifact.manifest.measured for stage, artifact in run.artifacts.items()}
    longest = max(one.seconds for one in measured.values()) or 1.0
    largest = max(one.peak_rss_bytes for one in measured.values()) or 1
    resumed = [stage for stage, one in run.artifacts.items() if one.manifest.provenance.get("resumed")]
    rows: list[tuple[object, ...]] = []
    for stage, one in measured.items():
        predicted = run.predicted.get(stage, {})
        name = f"{NAMES.get(stage, stage)}{' *' if stage in resumed else ''}"
        rows.append(
            (
                name,
                bar(one.seconds / longest),
                duration(one.seconds),
                tag("span", duration(predicted.get("seconds")), class_="quiet"),
                bar(one.peak_rss_bytes / largest, "b"),
                size(one.peak_rss_bytes),
                tag("span", size(predicted.get("memory_bytes")), class_="quiet"),
            )
        )
    seconds = [one["seconds"] for one in run.predicted.values() if "seconds" in one]
    memory = [one["memory_bytes"] for one in run.predicted.values() if "memory_bytes" in one]
    rows.append(
        (
            "In all",
            None,
            duration(sum(one.seconds for one in measured.values())),
            tag("span", duration(sum(seconds) if len(seconds) == len(measured) else None), class_="quiet"),
            None,
            size(largest),
            tag("span", size(max(memory, default=None)), class_="quiet"),
        )
    )
    columns: list[Heading] = [
        "stage",
        BAR,
        number("time"),
        number("predicted"),
        BAR,
        number("peak memory"),
        number("predicted"),
    ]
    notes = [
        "Each stage is a process of its own: its time counts from the start of the process, its memory is the peak "
        "resident set. The forecast was made before the stage ran. The report itself is not counted."
    ]
    if resumed:
        names = listed([NAMES.get(stage, stage) for stage in resumed])
        notes.append(f"* {names} was stopped and resumed: its time is that of the last process alone.")
    tables = [table(columns, rows, class_="totals"), p(" ".join(notes), class_="note"), _others(run)]
    return [h3("Time and memory"), *(one for one in tables if one is not None)]


def _others(run: Run) -> Html | None:
    """What else was predicted: disk, tokens, steps."""
    shown = {"disk_bytes": ("disk", size), "tokens": ("tokens", count), "steps": ("steps", count)}
    rows = [
        (
            NAMES.get(row.stage, row.stage),
            shown[row.what][0],
            shown[row.what][1](row.actual),
            tag("span", shown[row.what][1](row.predicted), class_="quiet"),
            relative(row.actual, row.predicted),
        )
        for row in compare(run.predicted, run.artifacts)
        if row.what in shown
    ]
    columns: list[Heading] = ["stage", "figure", number("measured"), number("predicted"), number("off by")]
    return details("Disk, tokens and steps, measured and predicted", table(columns, rows)) if rows else None


def _environment(run: Run) -> list[Html]:
    """What is the same in all stages is listed once; what differs, by stage."""
    by_stage = {stage: artifact.manifest.provenance for stage, artifact in run.artifacts.items()}
    pairs: list[tuple[object, object]] = []
    for name in (*PACKAGES, *ELSEWHERE):
        values: dict[str, list[str]] = {}
        for stage, made in by_stage.items():
            if made.get(name) is not None:
                value = processor(str(made[name])) if name == "cpu" else str(made[name])
                values.setdefault(value, []).append(NAMES.get(stage, stage))
        if len(values) == 1:
            pairs.append((name, next(iter(values))))
        elif values:
            pairs.append((name, "; ".join(f"{value} ({listed(stages)})" for value, stages in values.items())))
    return [h3("Environment"), facts(pairs)] if pairs else []


def _lineage(run: Run) -> list[Html]:
    rows = []
    for artifact in run.artifacts.values():
        key, made = artifact.manifest.key, artifact.manifest.provenance
        inputs: list[object] = [tag("span", f"{name} {digest[:SHORT]}") for name, digest in key.inputs.items()]
        inputs += [tag("span", f"{name} {digest[:SHORT]}") for name, digest in key.sources.items()]
        rows.append(
            (
                code(artifact.path.name),
                code(artifact.manifest.content[:SHORT]),
                tag("span", *inputs, class_="digests") if inputs else None,
                _when(made),
            )
        )
    about = (
        "An artifact is a folder that is written once and never changed. Its name carries what it was made from: "
        "stage, configuration, inputs and seed; its content is the digest of its result, equal whenever the result is."
    )
    columns: list[Heading] = ["artifact", "content", "made from", "made (UTC)"]
    return [
        h3("Lineage"),
        p(about),
        details(f"{listed_count(len(rows))} and what each was made from", table(columns, rows, class_="values")),
    ]


def listed_count(number: int) -> str:
    return "One artifact" if number == 1 else f"The {number} artifacts"


def _when(made: Mapping[str, Any]) -> str:
    return str(made.get("ended", "")).replace("T", " ").removesuffix("Z")
