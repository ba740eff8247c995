"""`make bench NAME=recipe PEER=FOLDER [BUDGET=120] [SIDES="..."]`: which recipe learns the most in a given time.

The text is English Wikipedia (`--data`, a folder that has `enwiki` in it, or any folder of text), curated and encoded
once by the pipeline's own stages into `runs/bench-recipe`. Every side reads the same token files with the same number
of threads in a process of its own, and is measured in bits per byte of the same held-out windows: one half of the
held-out documents is looked at on the way, the other half at the end. Compiling is not counted.

    plain        the project's model and AdamW as in a blueprint without a recipe
    portable     the default recipe, whose model any other program can load, at the size that the time is best spent on
    fast         `architecture: fast`, likewise
    nanochat     karpathy/nanochat's recipe at depth 4, from a checkout in PEER; `nanochat:depth=2` at another
    nanogpt      nanoGPT's model and AdamW

A side whose name ends in `@.6` has .6 of the time; one that ends in `-eager` is not compiled. A recipe with changes is
another side, measured against that recipe: `"portable:schedule=cosine warmup=.1"`, by the keys of a blueprint's
`pretrain:`, by `decoder.` and the fields of the decoder's configuration, `size` and `seed`. The side `parts` means all
of `PARTS`.
"""

import copy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.measure import Failure, Measurement, peer_in_process
from benchmarks.recipe_race import SEED, Clock, Job
from benchmarks.rows import Row, compare
from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.machine import multiplies_bf16, usable_cores

RUN, STAGES = Path("runs/bench-recipe"), ("curate", "tokenizer", "tokens")
SIDES = ("nanochat", "portable", "fast@.6", "plain")
FASTER = {"schedule": "wsd", "warmup": 0.02, "decay": 0.65, "final_learning_rate": 0.05}
MUON = {"name": "muon", "iterations": 3, "weight_decay": 0.0, "betas": [0.8, 0.95], "eps": 1e-10}


@dataclass(frozen=True)
class Recipe:
    """A model's size, how a blueprint's `pretrain:` section trains it, and fields of the decoder on top."""

    size: str | None  # None: what the time is best spent on
    pretrain: dict[str, Any]
    decoder: dict[str, Any] = field(default_factory=dict)
    seed: int = SEED

    def changed(self, changes: Sequence[str]) -> "Recipe":
        """With each `key=value` of `changes`, whose value is YAML."""
        values: dict[str, Any] = copy.deepcopy(vars(self))
        for change in changes:
            key, _, text = change.partition("=")
            *path, last = key.split(".") if key.split(".")[0] in values else ("pretrain", *key.split("."))
            inner: dict[str, Any] = values
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = YAML(typ="safe").load(text)
        return Recipe(**values)


def size_for(seconds: float) -> int:
    """Parameters of the model that learns the most in so many seconds of two such cores: docs/experiments.md.

    Of 1, 2 and 4 million it was 1 after 72 s and 2 after 180 s; the exponent is between those of a ladder on this text
    (.40, of the compute) and of these two.
    """
    return round(1.4e6 * (seconds / 100) ** 0.6)


RECIPES = {
    "plain": Recipe("4M", {"learning_rate": 2e-3}),
    "portable": Recipe(
        None,
        {
            **FASTER,
            "learning_rate": 5e-3,
            "model": {"architecture": "qwen3", "unit_start": True},
            "optimizer": {**MUON, "momentum_warmup": 100, "embedding_scale": 30},
        },
    ),
    "fast": Recipe(
        None,
        {
            **FASTER,
            "learning_rate": 1e-2,
            "model": {"architecture": "fast"},
            "optimizer": {**MUON, "momentum_warmup": 100, "embedding_scale": 30, "scalar_scale": 20},
        },
    ),
}
UNGATED = "decoder.hidden_act=relu2 decoder.gated_mlp=false decoder.intermediate_size=1024"
GATED = "decoder.hidden_act=silu decoder.gated_mlp=true decoder.intermediate_size=704"
FOUR = "size=4M model.layers=3 model.width=256"  # the model whose parts are taken apart
PARTS = (
    f"portable:{FOUR}",
    *(f"portable:{FOUR} seed={seed}" for seed in (1, 2)),  # how much is luck
    f"portable:{FOUR} optimizer.name=adamw learning_rate=2e-3",
    f"portable:{FOUR} optimizer.name=adamw learning_rate=4e-3",
    f"portable:{FOUR} optimizer.name=adamw_8bit learning_rate=2e-3",
    f"portable:{FOUR} model.unit_start=false",
    f"portable:{FOUR} model.unit_start=false optimizer.embedding_scale=1 optimizer.betas=[.9,.95] optimizer.eps=1e-8",
    f"portable:{FOUR} model.unit_start=false model.tied=false",
    f"portable:{FOUR} decoder.embedding_norm=false",
    f"portable:{FOUR} decoder.zero_init_outputs=false",
    f"portable:{FOUR} decoder.fan_in=false",
    f"portable:{FOUR} decoder.qk_norm=false",
    f"portable:{FOUR} decoder.qk_gain=1",
    f"portable:{FOUR} {UNGATED}",
    f"portable:{FOUR} decoder.final_logit_softcapping=15",
    f"portable:{FOUR} optimizer.embedding_scale=1",
    f"portable:{FOUR} optimizer.betas=[.9,.95] optimizer.eps=1e-8",
    f"portable:{FOUR} optimizer.momentum_warmup=0",
    f"portable:{FOUR} optimizer.iterations=5",
    f"portable:{FOUR} optimizer.weight_decay=.1",
    f"portable:{FOUR} optimizer.weight_decay=.1 optimizer.cautious=true",
    f"portable:{FOUR} schedule=cosine",
    f"portable:{FOUR} decay=.2",
    f"portable:{FOUR} ema=.99",
    "portable:size=4M",  # of the shape that `size` alone chooses
    f"portable:{FOUR} batch_tokens=1024",
    f"portable:{FOUR} batch_tokens=4096",
    *(f"portable:{FOUR} learning_rate={rate}" for rate in ("2.5e-3", "1e-2", "2e-2")),
    f"fast:{FOUR}",
    *(f"fast:{FOUR} learning_rate={rate}" for rate in ("5e-3", "2e-2")),
    *(f"fast:{FOUR} decoder.{part}=false" for part in ("smear", "stream_scalars", "value_embeddings", "backout")),
    f"fast:{FOUR} decoder.final_logit_softcapping=15",
    f"fast:{FOUR} {GATED}",
    *(f"portable:size=1M learning_rate={rate}" for rate in ("2.5e-3", "5e-3", "1e-2")),
    *(f"portable:size=10M learning_rate={rate}" for rate in ("2.5e-3", "5e-3", "1e-2")),
    *(f"portable:size={size} batch_tokens={batch}" for size in ("1M", "10M") for batch in (1024, 4096)),
)


def run(
    data: Path | None,
    check: bool = False,
    peer: Path | None = None,
    budget: float = 120.0,
    clock: Clock = "wall",
    sides: Sequence[str] = SIDES,
) -> Iterator[Row]:
    """Rows against the peer; without one (no `--peer`), against the plain recipe.

    Args:
        budget: seconds of training for each side.
        clock: `cpu` counts the process's processor time, for a machine that has other work; its threads together.
    """
    tokens, tokenizer = _checked() if check else _tokens(data)
    precision = "bf16" if multiplies_bf16() else "fp32"
    sides = ["plain", "portable", "fast", "nanogpt"] if check else list(sides)
    sides = list(PARTS) if sides == ["parts"] else [s for s in sides if peer or not s.startswith("nanochat")]
    found = {}
    for name in sides:
        base, _, part = name.partition("@")
        job = Job(
            str(tokens), str(tokenizer), budget * float(part or 1), clock, precision, not check, check
        )  # a check compiles nothing: it would take longer than all else
        found[name] = _raced(base, job, peer)
        print(f"{name}: {_said(found[name])}", flush=True)
    others = [name for name in sides if name.startswith("nanochat")]
    against = others[0] if others else "plain" if "plain" in sides else sides[0]
    for name in sides:
        whole = name.partition(":")[0]
        rival = whole if ":" in name and whole in found else against
        mine, other = found[name], found[rival]
        if name == rival or isinstance(mine, Failure):
            continue
        case = f"{name}, {budget:g} s on {usable_cores()} cores"
        value = other if isinstance(other, Failure) else other["test"]
        yield compare(case, "bits per byte, test", mine["test"], value, rival, "bits", "lower")
        if isinstance(other, dict):
            goal, seconds = other["looks"][-1][1], _reached(mine["looks"], other["looks"][-1][1])
            if seconds is not None:
                metric = f"time to {goal:.3f} bits, validation"
                yield compare(case, metric, seconds, other["seconds"], rival, "s", "lower")


def _raced(name: str, job: Job, peer: Path | None) -> dict[str, Any] | Failure:
    from benchmarks import recipe_sides

    base, eager = name.removesuffix("-eager"), name.endswith("-eager")
    base, _, changes = base.partition(":")
    values = {**vars(job), "compiled": job.compiled and not eager}
    cores = usable_cores()
    measured: Measurement | Failure
    if base == "nanochat":
        depth = int(changes.removeprefix("depth=") or recipe_sides.DEPTH)
        measured = peer_in_process(recipe_sides.nanochat, str(peer), depth, values, cores=cores)
    elif base == "nanogpt":
        measured = peer_in_process(recipe_sides.nanogpt, values, cores=cores)
    elif base in RECIPES:
        measured = peer_in_process(recipe_sides.ours, base, changes.split(), values, cores=cores)
    else:
        known = ", ".join((*RECIPES, "nanochat", "nanogpt"))
        raise GroundupError(f"there is no side {name!r}", do=f"choose of {known}")
    if isinstance(measured, Failure) and base in RECIPES:
        raise GroundupError(f"the recipe {base} failed: {measured.reason}")
    return measured if isinstance(measured, Failure) else dict(measured.value)


def _said(found: dict[str, Any] | Failure) -> str:
    if isinstance(found, Failure):
        return found.reason
    looks = ", ".join(f"{bits:.3f} after {seconds:.0f} s" for seconds, bits in found["looks"])
    return (
        f"{found['test']:.4f} bits per byte after {found['seconds']:.0f} s, {found['steps']:,} steps and "
        f"{found['tokens']:,} tokens, {found['parameters']:,} parameters (validation: {looks})"
    )


def _reached(looks: Sequence[Sequence[float]], goal: float) -> float | None:
    """When the validation figure came down to `goal`, between two looks on a straight line; None: never."""
    for (before, above), (after, below) in pairwise(looks):
        if below <= goal:
            return after if above <= goal else before + (after - before) * (above - goal) / (above - below)
    return None


def _tokens(data: Path | None) -> tuple[Path, Path]:
    """(the folder of the token files, the tokenizer), made where they are not there yet."""
    text = next((path for path in ((data or Path()) / "enwiki", data) if path and path.is_dir()), None)
    if text is None:
        raise GroundupError("there is no text to train on", where=str(data or ""), do="name its folder with --data")
    RUN.mkdir(parents=True, exist_ok=True)
    blueprint = RUN.parent / "bench-recipe.yaml"
    source = f"{{kind: files, path: {text.resolve()}}}"
    write_text(blueprint, f"name: bench-recipe\ncurate:\n  sources: [{source}]\n  heldout: 0.03\n")
    for stage in STAGES:
        command = [sys.executable, "-m", "groundup", "run", str(blueprint), "--run", str(RUN), "--only", stage]
        if subprocess.run(command).returncode:
            raise GroundupError(f"the stage {stage} failed", where=str(blueprint), do="see its message")
    newest = {stage: max((RUN / "artifacts").glob(f"{stage}-*"), key=lambda p: p.stat().st_mtime) for stage in STAGES}
    return newest["tokens"], newest["tokenizer"] / "tokenizer.json"


def _checked() -> tuple[Path, Path]:
    """The same of random words, in a temporary folder."""
    import random
    import tempfile

    from groundup.shards.token_file import write_tokens
    from groundup.tokenizer.tokenizer import Tokenizer

    folder, draw = Path(tempfile.mkdtemp()), random.Random(1)
    words = ["".join(draw.choices("etaoinshr", k=draw.randint(2, 6))) for _ in range(200)]
    texts = [" ".join(draw.choices(words, k=400)) for _ in range(20)]
    tokenizer = Tokenizer.train(texts)
    tokenizer.save(folder / "tokenizer.json")
    for split, some in (("train", texts[4:]), ("heldout", texts[:4])):
        write_tokens(folder, split, tokenizer, some)
    return folder, folder / "tokenizer.json"
