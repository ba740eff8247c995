"""`make seeds`: the default run with several seeds; each figure with its mean and range.

    python -m benchmarks.seeds [--seeds 1337 1338 1339] [--folder runs/seeds] [--json FILE] [--sft-from RUN] [--set ...]

Runs are resumed, so a stopped command continues where it was. With --sft-from only fine-tuning and its evaluation are
repeated, from the pretrained model of that run: some three minutes a seed instead of eight.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

BLUEPRINT = Path(__file__).parents[1] / "src/groundup/blueprint/gallery/python-docs.yaml"


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1337, 1338, 1339])
    parser.add_argument("--blueprint", type=Path, default=BLUEPRINT)
    parser.add_argument("--folder", type=Path, default=Path("runs/seeds"), help="where the runs are made")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--sft-from", type=Path, metavar="RUN", help="repeat fine-tuning alone, from this run's model")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="as groundup run's")
    given = parser.parse_args()
    overrides = list(given.set)
    if given.sft_from is not None:
        overrides += [f"start.model={given.sft_from.resolve()}", "start.stage=pretrain"]
        overrides += ["start.first=sft", "align=none"]
    by_seed = {}
    for seed in given.seeds:
        run = given.folder / f"seed-{seed}"
        made = subprocess.run(_command(given.blueprint, run, [*overrides, f"seed={seed}"]), check=False)
        if made.returncode:
            return made.returncode
        by_seed[seed] = figures_of(json.loads((run / "report" / "report.json").read_text(encoding="utf-8")))
    rows = summary(by_seed)
    print(table(rows, list(by_seed)))
    if given.json is not None:
        given.json.write_text(json.dumps({"seeds": by_seed, "summary": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


def _command(blueprint: Path, run: Path, overrides: Sequence[str]) -> list[str]:
    sets = [part for one in overrides for part in ("--set", one)]
    return [sys.executable, "-m", "groundup", "run", str(blueprint), "--run", str(run), *sets]


def figures_of(report: Mapping[str, Any]) -> dict[str, float]:
    """What a run's report.json measured, by name; what was not measured is not there."""
    found: dict[str, float | None] = {
        "bits per byte": (report.get("pretrain", {}).get("bits_per_byte") or {}).get("model"),
        "exact, sft, phrasings to tune by": report.get("sft", {}).get("tune", {}).get("exact_match"),
    }
    for model in ("sft", report.get("method")):
        for asked, rates in report.get(model, {}).get("answers", {}).items() if model else ():
            found[f"exact, {model}, {asked} phrasings"] = rates["exact_match"]
    gain = report.get(report.get("method") or "", {}).get("true_score_gain")
    found["gain of token F1"] = gain["mean"] if gain else None
    found["minutes"] = sum(report["seconds"].values()) / 60
    found["peak memory, MiB"] = max(report["peak_rss_bytes"].values()) / 2**20
    return {name: value for name, value in found.items() if value is not None}


def summary(by_seed: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, smallest and largest of each figure that every seed has."""
    names = [name for name in next(iter(by_seed.values())) if all(name in one for one in by_seed.values())]
    values = {name: [one[name] for one in by_seed.values()] for name in names}
    return {name: {"mean": fmean(of), "min": min(of), "max": max(of)} for name, of in values.items()}


def table(rows: Mapping[str, Mapping[str, float]], seeds: Sequence[int]) -> str:
    """The figures as lines of text."""
    lines = [f"{'seeds ' + ', '.join(map(str, seeds)):<36} {'mean':>9} {'min':>9} {'max':>9}"]
    lines += [f"{name:<36} {one['mean']:9.3f} {one['min']:9.3f} {one['max']:9.3f}" for name, one in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
