"""How far a stage came that was begun and not finished, from what it left for the next run to resume from.

artifacts/.building/<stage>-<key>.keep/
    metrics.jsonl            a row for each step that was taken
    checkpoint-<step>/       the next run resumes after that step
    read/part-00007/         or, of curation, the finished partitions of each phase
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.artifacts.metrics import read_metrics
from groundup.corpus.finished import finished_parts

METRICS = "metrics.jsonl"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
ENDINGS = {"started": "was killed", "failed": "failed", "stopped": "was stopped"}  # by the newest event


@dataclass(frozen=True)
class Interrupted:
    """What a stage had done when it was killed or stopped, or failed."""

    step: int = 0
    """Steps taken."""
    tokens: int | None = None
    """Tokens read in these steps; None where the stage counts something else."""
    resumes_after: int = 0
    """The step of its newest checkpoint; 0: it begins again."""
    parts: int = 0
    """Partitions of the corpus that are finished, in all phases."""

    def reached(self, steps: float = 0) -> str:
        """`at step 30 of 98, 15,360 tokens; resumes after step 20`; "" where nothing is known.

        Args:
            steps: of the whole stage, as planned; 0: not known.
        """
        if self.parts:
            return f"with {self.parts:,} partitions finished, which are used again"
        step = max(self.step, self.resumes_after)
        if not step:
            return ""
        of = f" of {steps:,.0f}" if steps >= step else ""
        read = f", {self.tokens:,} tokens" if self.tokens else ""
        again = f"resumes after step {self.resumes_after:,}" if self.resumes_after else "begins again"
        return f"at step {step:,}{of}{read}; {again}"


def interrupted(kept: Path) -> Interrupted | None:
    """What lies in the folder in which a stage keeps what the next run resumes from; None: it was never begun."""
    if not kept.is_dir():
        return None
    rows = read_metrics(kept / METRICS) if (kept / METRICS).is_file() else []
    tokens = int(sum(row["tokens"] for row in rows)) if rows and all("tokens" in row for row in rows) else None
    saved = [int(found[1]) for path in kept.iterdir() if (found := CHECKPOINT.fullmatch(path.name))]
    return Interrupted(rows[-1]["step"] if rows else 0, tokens, max(saved, default=0), finished_parts(kept))


def ending(events: Iterable[Mapping[str, Any]], stage: str, key: str, found: Interrupted) -> str:
    """How the stage's newest try ended, and where: `was killed at step 30 of 98, 15,360 tokens; ...`.

    Args:
        events: of the run, the oldest first.
        key: digest of the stage's key.
    """
    mine, how, error, steps = False, "was not finished", "", 0.0
    for event in events:
        if event.get("stage") != stage:
            continue
        if event["event"] == "started":
            mine = event.get("key") == key
            steps = (event.get("expected") or {}).get("steps", 0) if mine else steps
        if mine and event["event"] in ENDINGS:
            how, error = ENDINGS[event["event"]], " ".join((event.get("error") or "").split())
    return " ".join(part for part in (how, found.reached(steps), f"({error})" if error else "") if part)
