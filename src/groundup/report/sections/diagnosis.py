"""What went wrong, what is worth knowing and what to try, first of all; without any of it there is no such section."""

from __future__ import annotations

import re

from groundup.pipeline.diagnosis import Diagnosis, diagnose
from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, code, join, p, tag
from groundup.report.run import NAMES, Run

KINDS = {"problem": "Went wrong", "note": "Worth knowing"}


def diagnosis(run: Run, config: ReportConfig) -> Html | None:
    """A card for each finding, the most fundamental first, with its evidence; notes, which are no problem, last."""
    found = diagnose(run.artifacts)
    return tag("div", *map(_card, found), class_="findings") if found else None


def _card(one: Diagnosis) -> Html:
    return tag(
        "article",
        tag("h3", NAMES.get(one.stage, one.stage), tag("small", KINDS[one.kind])),
        p(_sentence(one.what)),
        p("Because: ", one.evidence, ".", class_="note"),
        p("To try: ", _with_code(one.to_try), "."),
        class_=one.kind,
    )


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _with_code(line: str) -> Html:
    """What is between backticks as code."""
    return join(code(part) if index % 2 else part for index, part in enumerate(re.split("`", line)))
