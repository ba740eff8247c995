"""A run of all stages that takes half a minute: forty made-up pages and a model of some ten thousand parameters."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import groundup

WORDS = (
    "river stone garden winter market music letter window bridge captain forest silver morning island "
    "harbour lantern village mountain engine paper travel answer number colour season copper garment "
    "sailor teacher signal"
).split()
VERBS = ("carries follows repairs measures remembers crosses protects collects describes supports").split()

BLUEPRINT = """
name: tiny
size: 10K
curate:
  sources: [{kind: files, path: pages}]
  heldout: 0.1
tokenizer: {vocabulary: 400}
pretrain:
  tokens: 12_000
  batch_tokens: 512
  learning_rate: 3e-3
  sequence: 64
  validate_every: 8
  checkpoint_seconds: 0
  model: {layers: 1, width: 32, heads: 2, kv_heads: 1, feed_forward: 64, context: 128}
sft:
  {subjects: 24, epochs: 6, batch_examples: 8, learning_rate: 3e-3, checkpoint_seconds: 0, max_answer_characters: 120}
reward: {pairs_per_subject: 3, batch_pairs: 4, learning_rate: 1e-3, checkpoint_seconds: 0}
align: ppo
ppo: {iterations: 4, rollouts: 8, minibatch: 4, max_answer_tokens: 8, learning_rate: 1e-4, checkpoint_seconds: 0}
dpo: {learning_rate: 1e-4, checkpoint_seconds: 0}
evaluate: {max_answer_tokens: 8, bootstrap: 100, samples: 3}
"""


def write_tiny(folder: Path, pages: int = 40) -> Path:
    """The pages and the blueprint, the same at every call; returns the blueprint's path."""
    into = folder / "pages"
    into.mkdir(parents=True)
    rng = random.Random(7)

    def sentence() -> str:
        subject, thing, spot = rng.sample(WORDS, 3)
        return f"The {subject} {rng.choice(VERBS)} the {thing} near the {spot} number {rng.randrange(1000)}."

    for page in range(pages):
        name = f"{rng.choice(WORDS).title()} {page}"
        parts = [f"# {name}", sentence(), f"## The {rng.choice(WORDS)} of {name}", sentence()]
        parts += [" ".join(sentence() for _ in range(4)) for _ in range(3)]
        (into / f"page{page:02}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    blueprint = folder / "tiny.yaml"
    blueprint.write_text(BLUEPRINT, encoding="utf-8")
    return blueprint


def start(blueprint: Path, run: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`groundup run` in a process of its own, on one thread."""
    return subprocess.Popen(
        [sys.executable, "-c", "from groundup.cli.main import main; main()"]
        + ["run", str(blueprint), "--run", str(run), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "GROUNDUP_THREADS": "1", "OMP_NUM_THREADS": "1", "GROUNDUP_DEVICE": "cpu"},
        cwd=Path(groundup.__file__).parent,
    )


def finish(process: "subprocess.Popen[str]", timeout: float = 240) -> tuple[int, str]:
    """(exit status, everything it printed)."""
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def contents(run: Path) -> dict[str, str]:
    """The digest of each stage's result, without times and curves; the report contains times, so it is skipped."""
    from groundup.artifacts import Store

    remembered = json.loads((run / "run.json").read_text(encoding="utf-8"))
    store = Store(run)
    found = {}
    for stage, folder in remembered["stages"].items():
        if stage != "report":
            (artifact,) = [one for one in store.published(stage) if one.path.name == folder]
            artifact.verify()
            found[stage] = artifact.manifest.content
    return found
