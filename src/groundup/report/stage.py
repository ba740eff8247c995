"""The stage `report`: what all other stages left, as `index.html` and `report.json`."""

import json
from collections.abc import Mapping

from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.report.configuration import ReportConfig
from groundup.report.figures import report_json
from groundup.report.page import page
from groundup.report.run import read_run

PAGE, FIGURES = "index.html", "report.json"


def stage(config: ReportConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Inputs: the artifacts of all stages that have run; `work.run` is the folder of the run."""
    assert work.run is not None, "the report's stage is one that sees the run"
    run = read_run(work.run, inputs, config.dropped_samples)
    written = page(run, config)
    write_text(work.out / PAGE, written)
    found = report_json(run)
    write_text(work.out / FIGURES, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    amount = len(written.encode())
    return {"bytes": amount, "summary": f"{PAGE} of {amount / 1000:,.0f} kB, {FIGURES}"}
