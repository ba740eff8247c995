"""Requests that schemathesis makes from the server's own schema, right and wrong ones: every answer is what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_model import TOKENIZER
from live import live

import tiny
from groundup.inference.loading import LoadedModel
from groundup.serve.app import create_app

pytestmark = pytest.mark.slow


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """No fault of the server, no undocumented status, content type or body; what the schema forbids is refused, and
    what it allows accepted (see the hooks). The server has a tiny real model: what is sent reaches the engine."""
    pytest.importorskip("schemathesis")
    made = tiny.model(5, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=2048).eval()
    model = LoadedModel("tiny", made, TOKENIZER, frozenset({TOKENIZER.end}))
    hooks = {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_hooks.py"))}
    with live(create_app({"tiny": lambda: model}, key=None)) as address:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--no-color"]
        command += ["--exclude-checks", "positive_data_acceptance", "--max-examples", "60", "--seed", "1"]
        options = {"capture_output": True, "text": True, "timeout": 900, "check": False, "cwd": tmp_path}
        done = subprocess.run(command, env=os.environ | hooks, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
