"""The `evaluate:` section."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from groundup.section import Section


class EvaluateConfig(Section):
    """How good the models are, against baselines."""

    incidental: ClassVar[frozenset[str]] = frozenset({"data"})

    data: Path | None = None
    """Your own questions: JSON, JSONL, CSV or Parquet with `prompt` (or `instruction`, `input`; or `messages`) and
    `answer` (or `output`)."""
    ngram_order: int = Field(default=6, ge=1, le=8)
    """Bytes that the n-gram baseline looks at, the predicted one counted in."""
    max_answer_tokens: int = Field(default=48, ge=1)
    bootstrap: int = Field(default=2000, ge=100)
    """Resamples for the 95 % interval."""
    samples: int = Field(default=12, ge=0)
    """Answers of each stage shown in the report."""
