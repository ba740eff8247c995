"""What was planned next to what came of it: every figure that both have, and one line for a person."""

from pathlib import Path

from groundup.artifacts import Artifact, Manifest, Measured, StageKey
from groundup.planning.forecast import StagePlan
from groundup.planning.predicted import compare, expected, summary


def artifact(folder: Path, stage: str, figures: dict[str, object]) -> Artifact:
    path = folder / stage
    path.mkdir()
    (path / "weights").write_bytes(b"x" * 1000)
    return Artifact(path, Manifest(StageKey(stage, 1, {}, 1, {}), {}, dict(figures), Measured(60.0, 10**9)))


def test_every_figure_that_was_predicted_and_measured(tmp_path: Path) -> None:
    planned = StagePlan("pretrain", 50.0, 1_500_000, 1465, 4e13, {"program": 8 * 10**8}, {"model": 1100})
    made = {
        "pretrain": artifact(tmp_path, "pretrain", {"tokens": 1_500_160, "steps": 1465}),
        "report": artifact(tmp_path, "report", {}),
    }
    rows = compare({"pretrain": expected(planned)}, made)
    assert [(row.stage, row.what, row.predicted, row.actual) for row in rows] == [
        ("pretrain", "seconds", 50.0, 60.0),
        ("pretrain", "memory_bytes", 8e8, 1e9),
        ("pretrain", "disk_bytes", 1100.0, 1000.0),
        ("pretrain", "tokens", 1_500_000.0, 1_500_160.0),
        ("pretrain", "steps", 1465.0, 1465.0),
    ]
    assert rows[0].ratio == 1.2
    line = summary(rows)
    assert line.startswith("Measured (predicted): time 60 seconds (50 seconds), memory 1.0 GB (800 MB), disk 0 MB")
    assert line.endswith("tokens read 1.5 M (1.5 M)")
    assert summary([]) == ""
