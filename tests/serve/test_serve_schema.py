"""Requests that schemathesis makes from the server's own schema, right and wrong ones: every answer is what it says."""

import subprocess
import sys

import pytest
from fake_model import TOKENIZER
from live import live

import tiny
from groundup.inference.loading import LoadedModel
from groundup.serve.app import create_app

pytestmark = pytest.mark.slow


def test_schemathesis_finds_nothing() -> None:
    """No fault of the server, no undocumented status, content type or body; what the schema forbids is refused, and
    what it allows accepted. The server has a tiny real model, so that what is sent reaches the engine."""
    pytest.importorskip("schemathesis")
    made = tiny.model(5, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=2048).eval()
    model = LoadedModel("tiny", made, TOKENIZER, frozenset({TOKENIZER.end}))
    with live(create_app({"tiny": lambda: model}, key=None)) as address:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"]
        command += ["--checks", "all", "--max-examples", "60", "--seed", "1", "--no-color", "--max-failures", "20"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
