"""A ratio above 1 means that ours is better, whether higher or lower is better; a failed peer has no ratio."""

import json
from pathlib import Path

import pytest

from benchmarks.measure import Failure
from benchmarks.rows import compare, version_of, write_json


def test_above_one_is_better_for_us() -> None:
    assert compare("c", "speed", 30.0, 10.0, "numpy", "MB/s", "higher").ratio == 3
    assert compare("c", "time", 10.0, 30.0, "numpy", "s", "lower").ratio == 3
    assert compare("c", "time", 30.0, 10.0, "numpy", "s", "lower").ratio == pytest.approx(1 / 3)


def test_versions_are_those_installed() -> None:
    import numpy

    assert compare("c", "speed", 1, 1, "numpy", "MB/s", "higher").peer_version == numpy.__version__
    assert version_of("no-such-package") == ""


def test_json_has_the_fields_of_the_design(tmp_path: Path) -> None:
    write_json([compare("c", "speed", 30.0, 10.0, "numpy", "MB/s", "higher")], tmp_path / "rows.json")
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert set(row) == {"case", "metric", "ours", "peer", "peer_name", "peer_version", "ratio", "unit"}


def test_a_failed_peer_is_a_row_with_the_reason(tmp_path: Path) -> None:
    row = compare("c", "speed", 30.0, Failure("ImportError: no psutil"), "litgpt", "MB/s", "higher")
    write_json([row], tmp_path / "rows.json")
    (written,) = json.loads((tmp_path / "rows.json").read_text())
    assert (written["ours"], written["peer"], written["ratio"]) == (30.0, None, None)
    assert written["failure"] == "ImportError: no psutil"
