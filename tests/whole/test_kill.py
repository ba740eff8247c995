"""kill -9 at random times over all stages: the run resumes, and ends with the same bits."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from tiny_run import contents, finish, start


def under_way(run: Path) -> str | None:
    """The stage that was begun last and is not done."""
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    stage = None
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        stage = row["stage"] if row["event"] == "started" else None
    return stage


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_change_nothing(finished, tmp_path: Path, kills: int) -> None:
    """Times are drawn so that some attempts die while their stage starts and others some way into the next one. A run
    that gets to its end all the same is compared, and the kills that are left go to a new one."""
    rng, hit, folders = random.Random(11), list[str | None](), [tmp_path / "run0"]
    pace = max(2.0, finished.seconds / 10)
    while len(hit) < kills:
        run = folders[-1]
        process = start(finished.blueprint, run)
        time.sleep(rng.uniform(0.3, 1.9) * pace)
        if process.poll() is None:
            hit.append(under_way(run))
            os.kill(process.pid, signal.SIGKILL)
            finish(process)
        else:
            status, output = finish(process)
            assert status == 0, output
            folders.append(tmp_path / f"run{len(folders)}")
    status, output = finish(start(finished.blueprint, folders[-1]))
    assert status == 0, output
    for run in folders:
        assert contents(run) == contents(finished.run)
    assert len({stage for stage in hit if stage}) >= min(5, kills // 2), hit
