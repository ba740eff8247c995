"""`make bench NAME=forecast [SIDES="4M 4M-fp32"]`: what `groundup plan --calibrate` says of four sizes, against what
their runs took.

Each run is the default blueprint's whole pipeline, shortened: 200,000 tokens of pretraining, 100 subjects. The corpus,
the tokenizer and the token files are made once, in `runs/bench-forecast`. A ratio is the forecast over what was
measured: 1 is exact, below 1 too little. Every forecast is made before anything has run. A side is a size, with
`-fp32` for the precision where the processor has bf16 too. Times are of an idle machine or mean little.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.rows import Row
from groundup.artifacts import Artifact
from groundup.blueprint import gallery
from groundup.blueprint.load import LoadedBlueprint, load
from groundup.machine import multiplies_bf16
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.graph import stages
from groundup.pipeline.runner import run as run_stages
from groundup.planning import estimate
from groundup.planning.calibration import calibrate
from groundup.planning.forecast import Plan
from groundup.planning.predicted import compare, expected

RUN, GALLERY = Path("runs/bench-forecast"), "python-docs"
TRAINED = ("pretrain", "sft", "reward", "ppo")
SIDES = ("300K", "1M", "4M", "10M", "300K-fp32", "1M-fp32", "4M-fp32", "10M-fp32")
SHORT = (
    "pretrain.tokens=200_000",
    "pretrain.model.layers=null",
    "pretrain.model.width=null",
    "sft.subjects=100",
    "sft.epochs=8",
    "ppo.iterations=2",
    "ppo.rollouts=64",
)
TINY = ("pretrain.tokens=20_000", "sft.subjects=20", "sft.epochs=1", "curate.sources.0.packages=[]")


def run(data: Path | None, check: bool = False, sides: Sequence[str] = SIDES) -> Iterator[Row]:
    """Rows of memory, time and parameters; the corpus is this machine's Python documentation."""
    for side in sides[:1] if check else sides:
        size, _, precision = side.partition("-")
        if precision and not multiplies_bf16():
            continue  # it is what `auto` means here
        loaded = blueprint_of(size, precision or "auto", check)
        planned = _planned(loaded)
        done = run_stages(loaded, RunFolder(RUN), stages(loaded.blueprint))
        yield from _rows(f"{size} {planned.precision}", planned, done.artifacts)


def blueprint_of(size: str, precision: str, check: bool = False) -> LoadedBlueprint:
    short = (*SHORT, *TINY) if check else SHORT
    return load(gallery.FOLDER / f"{GALLERY}.yaml", (*short, f"size={size}", f"pretrain.precision={precision}"))


def _planned(loaded: LoadedBlueprint) -> Plan:
    """As the verb plans, with --calibrate."""
    planned = estimate.plan(loaded.blueprint, base=loaded.base)
    found = calibrate(planned.model, loaded.blueprint.pretrain, planned.machine, loaded.blueprint.sft)
    return estimate.plan(loaded.blueprint, found.machine, base=loaded.base)


def _rows(case: str, planned: Plan, artifacts: Mapping[str, Artifact]) -> Iterator[Row]:
    forecast = {stage.stage: expected(stage) for stage in planned.stages}
    parameters = float(artifacts["pretrain"].figures["parameters"])
    yield _row(case, "parameters", planned.model.num_parameters, parameters, "")
    predicted = actual = 0.0
    for one in compare(forecast, artifacts):
        where = f"{case}, {one.stage}"
        if one.what == "memory_bytes":
            yield _row(where, "memory", one.predicted / 2**20, one.actual / 2**20, "MiB")
        elif one.what == "seconds":
            yield _row(where, "time", one.predicted, one.actual, "s")
            if one.stage in TRAINED:
                predicted += one.predicted
                actual += one.actual
        elif one.what in ("tokens", "steps"):
            yield _row(where, one.what, one.predicted, one.actual, "")
    yield _row(case, "time of all that trains", predicted, actual, "s")


def _row(case: str, metric: str, forecast: float, measured: float, unit: str) -> Row:
    return Row(case, metric, forecast, measured, "measured", "", forecast / measured if measured else None, unit)
