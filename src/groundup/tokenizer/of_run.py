"""Where a run keeps its tokenizer."""

from collections.abc import Mapping
from pathlib import Path

from groundup.artifacts import Artifact


def tokenizer_file(made: Mapping[str, Artifact]) -> Path:
    """That of the stage `tokenizer`, or the one that came with the model of `start` where that stage is skipped."""
    return made["tokenizer" if "tokenizer" in made else "start"].file("tokenizer.json")
