"""What went wrong and what to try, first of all; a healthy run has no such section."""

from __future__ import annotations

from groundup.pipeline.diagnosis import diagnose
from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, table
from groundup.report.run import NAMES, Run


def diagnosis(run: Run, config: ReportConfig) -> Html | None:
    """A row for each finding, the most fundamental first, with its evidence."""
    rows = [(NAMES.get(one.stage, one.stage), one.what, one.evidence, one.to_try) for one in diagnose(run.artifacts)]
    return table(["stage", "what went wrong", "evidence", "what to try"], rows) if rows else None
