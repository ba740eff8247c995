"""One finished tiny run for the whole session."""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_run import finish, start, write_tiny


@dataclass(frozen=True)
class Finished:
    blueprint: Path
    run: Path
    output: str
    seconds: float


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """All stages, uninterrupted."""
    folder = tmp_path_factory.mktemp("tiny")
    blueprint, began = write_tiny(folder / "mine"), time.monotonic()
    status, output = finish(start(blueprint, folder / "run"))
    assert status == 0, output
    return Finished(blueprint, folder / "run", output, time.monotonic() - began)
