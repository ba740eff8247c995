"""`make gpu`: what this project does on one GPU, in at most ten minutes and without a network.

    python -m benchmarks.gpu [--json FILE] [--minutes 10] [--only NAME ...] [--check]

First the tests marked `cuda`, then figures: training steps at 124M, 350M and 1B, attention's kernels, tokens per second
of decoding and of rollouts, the engines for several devices with one process each, and a whole run of all stages with
PPO, then GRPO. What fails, or has no time left, is a row that says so. On a machine without a GPU everything runs with
small sizes on the CPU, and its figures say nothing of a GPU.

It needs PyTorch and this project's dependencies where it runs, and installs nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import gpu_jobs as jobs
from benchmarks.gpu_jobs import EngineName, TrainStep
from benchmarks.measure import Failure, peer_in_process
from benchmarks.train_jobs import Size
from groundup.artifacts.durable import write_text
from groundup.machine import usable_cores

ROOT = Path(__file__).parents[1]
LIMIT = 120.0  # seconds for one measurement
UNITS = {"speed": "tokens/s", "memory": "GB", "planned memory": "GB", "time": "ms", "arithmetic": "TFLOP/s"}

STEPS = (
    TrainStep(Size("124M", 12, 768, 12, 50_257, 1024, 32, 12), 2048, 12),
    TrainStep(Size("350M", 24, 1024, 16, 50_257, 1024, 16, 10), 2816, 16),
    TrainStep(Size("1B", 16, 2048, 32, 32_000, 2048, 8, 8), 8192, 8),
)
SMALL = (TrainStep(Size("small", 2, 64, 2, 256, 64, 2, 2), 128, 2),)
ENGINES: tuple[EngineName, ...] = ("FSDP2", "DeepSpeed ZeRO-3", "Megatron")

BLUEPRINT = """
name: gpu
size: {size}
curate: {{sources: [{{kind: files, path: {documents}}}], heldout: 0.1}}
tokenizer: {{vocabulary: 512}}
pretrain: {{tokens: {tokens}, batch_tokens: 512, sequence: 64}}
sft: {{subjects: 24, epochs: 4, batch_examples: 8}}
reward: {{pairs_per_subject: 3}}
ppo: {{iterations: 4, rollouts: {rollouts}, minibatch: 8}}
grpo: {{iterations: 4, rollouts: {rollouts}, minibatch: 8}}
evaluate: {{bootstrap: 100, samples: 3}}
"""


Found = dict[str, float] | Failure
Measurement = tuple[str, Callable[[], Found]]  # a case, and what gives {metric: value} or says why not


@dataclass(frozen=True)
class Figure:
    """One measured number, or why there is none."""

    case: str
    metric: str
    value: float | None
    unit: str
    failure: str = ""


@dataclass(frozen=True)
class Part:
    """Measurements that belong together."""

    name: str
    measurements: list[Measurement]


def parts(small: bool, folder: Path) -> list[Part]:
    """All there is to measure, the most telling first."""
    steps, length, tokens = (SMALL, 64, 4) if small else (STEPS, 4096, 128)
    variants = [one for step in steps for one in (step, replace(step, compiled=True))]
    variants += [replace(steps[-1], compiled=True, fp8=True), replace(steps[-1], recompute="full")]
    rows = (1, 3) if small else (1, 8, 64, 256)
    kinds, first = ("causal", "sliding window", "documents"), steps[0].size.name

    def training(of: Iterable[TrainStep]) -> list[Measurement]:
        return [(one.case, _calling(jobs.train, asdict(one))) for one in of]

    def answering(verb: str, temperature: float) -> list[Measurement]:
        values = asdict(steps[0])
        return [
            (f"{verb} {first}, {count} at once", _calling(jobs.decode, values, count, tokens, temperature))
            for count in rows
        ]

    return [
        Part("train", training(variants)),
        Part("decode", answering("decode", 0.0) + answering("roll out", 1.0)),
        Part("attention", [(f"attention, {kind}", _calling(jobs.attention, 4, length, kind)) for kind in kinds]),
        Part("engines", training(replace(steps[0], engine=name) for name in ENGINES)),
        Part("run", [(f"all stages, {align}", partial(_run, folder, align, small)) for align in ("ppo", "grpo")]),
    ]


def _calling(function: Callable[..., Any], *arguments: Any) -> Callable[[], Found]:
    def call() -> Found:
        measured = peer_in_process(function, *arguments, cores=usable_cores(), limit=LIMIT)
        return measured if isinstance(measured, Failure) else dict(measured.value)

    return call


def _run(folder: Path, align: str, small: bool) -> Found:
    """Seconds of each stage of a run over this project's own documentation; a second one reuses what is equal."""
    from groundup.artifacts import Store

    blueprint, run = folder / "gpu.yaml", folder / "run"
    values = (
        {"size": "50K", "tokens": 5_000, "rollouts": 16}
        if small
        else {"size": "20M", "tokens": 500_000, "rollouts": 256}
    )
    blueprint.write_text(BLUEPRINT.format(documents=ROOT / "docs", **values), encoding="utf-8")
    command = [sys.executable, "-m", "groundup", "run", str(blueprint), "--run", str(run), "--set", f"align={align}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3 * LIMIT)
    if done.returncode:
        return Failure((done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1])
    newest = {
        stage: Store(run).published(stage) for stage in ("pretrain", "sft", "reward", align, "evaluate", "export")
    }
    return {f"{stage}, seconds": found[-1].manifest.measured.seconds for stage, found in newest.items() if found}


def measure(wanted: list[Part], until: float) -> Iterator[Figure]:
    """The figures of the parts, as long as there is time."""
    for part in wanted:
        for case, call in part.measurements:
            if time.monotonic() > until:
                yield Figure(case, part.name, None, "", "the time was up")
                continue
            try:
                found = call()
            except subprocess.TimeoutExpired:
                found = Failure("not done in time")
            if isinstance(found, Failure):
                yield Figure(case, part.name, None, "", found.reason)
            else:
                yield from (Figure(case, name, value, UNITS.get(name, "")) for name, value in found.items())


def run_tests() -> str:
    """Pytest's last line of the tests marked `cuda`."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "cuda",
        "-p",
        "no:cacheprovider",
        str(ROOT / "tests" / "device"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=3 * LIMIT)
    print(done.stdout[-3000:] if done.returncode else "", end="")
    return (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]


def main() -> int:
    """The command; returns its exit status: 1 where a test or a measurement failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [part.name for part in parts(True, Path())]
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--minutes", type=float, default=10, help="no measurement begins after them")
    parser.add_argument("--only", nargs="+", choices=["tests", *names], default=["tests", *names])
    parser.add_argument("--check", action="store_true", help="small sizes, also on a GPU")
    given = parser.parse_args()
    until, console = time.monotonic() + 60 * given.minutes, Console()
    device = peer_in_process(jobs.device_facts, cores=usable_cores(), limit=LIMIT)
    if isinstance(device, Failure):
        print(f"benchmarks.gpu: {device.reason}", file=sys.stderr)
        return 1
    small = given.check or device.value["cuda"] is None
    console.print(", ".join(f"{name} {value}" for name, value in device.value.items()), highlight=False)
    tests = run_tests() if "tests" in given.only else ""
    console.print(f"tests: {tests}", highlight=False)
    table, figures = Table("case", "metric", "value", "unit", box=None, header_style="bold"), list[Figure]()
    with tempfile.TemporaryDirectory() as folder, console.status("measuring") as status:
        for one in measure([part for part in parts(small, Path(folder)) if part.name in given.only], until):
            figures.append(one)
            shown = one.failure if one.value is None else f"{one.value:,.4g}"
            table.add_row(one.case, one.metric, shown, one.unit)
            status.update(f"measuring: {one.case}, {one.metric}: {shown} {one.unit}")
            if given.json is not None:  # after each: a machine may be taken away
                _write(given.json, device.value, tests, figures)
    console.print(table)
    failed = any(one.value is None and one.failure != "the time was up" for one in figures)
    return int(failed or "failed" in tests or "error" in tests)


def _write(path: Path, device: dict[str, Any], tests: str, figures: list[Figure]) -> None:
    command = " ".join(["python -m benchmarks.gpu", *sys.argv[1:]])
    rows = [{name: value for name, value in asdict(one).items() if value != ""} for one in figures]
    record = {"device": device, "date": date.today().isoformat(), "command": command, "tests": tests, "figures": rows}
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
