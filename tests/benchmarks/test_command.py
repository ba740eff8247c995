"""`python -m benchmarks`: every row is shown and written, also those of peers that fail."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import loader, rows


def broken_peer(folder: str, rows: int, context: int, seconds: float) -> float:
    raise RuntimeError("out of order")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return command.main()


def test_a_failing_peer_is_a_row_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real loader benchmark, with a broken peer between two that work."""
    monkeypatch.setattr(loader, "PEERS", {"first": loader.nanogpt, "broken": broken_peer, "last": loader.nanogpt})
    monkeypatch.setattr(loader, "CASES", ((4, 32),))
    path = tmp_path / "rows.json"
    assert run(monkeypatch, "loader", "--check", "--json", str(path)) == 1
    found = {row["peer_name"]: row for row in json.loads(path.read_text())}
    assert found["broken"]["failure"] == "RuntimeError: out of order"
    assert found["broken"]["ratio"] is None
    assert found["first"]["ratio"] > 0 and found["last"]["ratio"] > 0
    assert "RuntimeError: out of order" in " ".join(capsys.readouterr().out.split())


def test_a_measurement_with_a_failed_peer_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --check the exit status is 0, so that `make bench` ends well with what it could measure."""

    def one(data: Path | None, check: bool) -> Iterator[rows.Row]:
        yield rows.compare("case", "speed", 1.0, rows.Failure("not installed"), "peer", "MB/s", "higher")

    monkeypatch.setattr(loader, "run", one)
    assert run(monkeypatch, "loader") == 0
    assert run(monkeypatch, "loader", "--check") == 1


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "no-such-benchmark")
    assert "tokenizer" in capsys.readouterr().err
