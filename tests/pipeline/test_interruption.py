"""Whatever ends a run, wherever: one line, nothing lost, nothing left running, and the next run resumes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_explain import look
from test_runner import execute

from groundup.errors import GroundupError
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.runs import runs_below

PAUSE = 0.02


def start(base: Path, run: Path, **sections: Any) -> subprocess.Popen[str]:
    code = "import toys; toys.script()"
    command = [sys.executable, "-c", code, str(base), str(run), json.dumps(sections)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and standard error."""
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def contents(run: Path) -> dict[str, str]:
    return {one.stage: one.manifest.content for one in RunFolder(run).store.everything()}


def until(condition: Any, seconds: float = 30.0) -> Any:
    """Wait for a condition; returns what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def worker_of(parent: int) -> int | None:
    """The stage's process of a run: the one child that a run has."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                return int(entry.name)
    return None


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_killed_at_random_times_a_run_ends_with_the_same_bits(base: Path, done: Path, tmp_path: Path) -> None:
    straight, broken = done.parent / "run", tmp_path / "broken"
    draw = random.Random(7)
    kills = 0
    for _ in range(6):
        process = start(base, broken, sum={"pause": PAUSE})
        time.sleep(draw.uniform(0.1, 0.9))
        process.kill()
        kills += finish(process)[0] == -signal.SIGKILL
    assert finish(start(base, broken, sum={"pause": PAUSE})) == (0, "")
    assert kills > 0
    assert contents(broken) == contents(straight)
    assert (broken / "model" / "weights").read_text() == (straight / "model" / "weights").read_text()
    hidden = [path.name for path in (broken / "artifacts").rglob("*") if path.name.startswith(".removed")]
    assert (hidden, list((broken / "artifacts" / ".building").iterdir())) == ([], [])


@linux
def test_a_killed_run_takes_its_stage_along_and_the_stage_resumes_where_it_was(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(base, run, sum={"pause": 0.2})
    state = until(lambda: next(run.glob("artifacts/.building/sum-*.keep/state.json"), None))
    worker = until(lambda: worker_of(process.pid))
    process.kill()
    finish(process)
    until(lambda: not alive(worker), 2.0)
    done = json.loads(state.read_text())[0]
    assert look(base)["sum"] == ("interrupted", ["was killed"])
    assert look(base, sum={"start": 5})["sum"][0] == "new"  # with other values it was never begun
    assert [one.state for one in runs_below(tmp_path)] == ["interrupted at sum"]
    assert finish(start(base, run)) == (0, "")
    artifact = RunFolder(run).artifact("sum")
    assert int(artifact.file("records/resumed_at.txt").read_text()) == done > 0
    assert artifact.manifest.provenance["resumed"] is True
    assert not list(run.glob("artifacts/.building/*"))


@linux
def test_helpers_of_a_stage_go_with_a_killed_run(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(base, run, sum={"fault": "helper"})
    helper = int(until(lambda: _read(next(run.glob("artifacts/.building/*.keep/helper"), None))))
    assert alive(helper)
    process.kill()
    finish(process)
    until(lambda: not alive(helper), 2.0)


@pytest.mark.slow
@linux
def test_helpers_of_a_stage_that_was_killed_itself_do_not_live_on(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(base, run, sum={"fault": "helper"})
    helper = int(until(lambda: _read(next(run.glob("artifacts/.building/*.keep/helper"), None))))
    os.kill(until(lambda: worker_of(process.pid)), signal.SIGKILL)
    status, errors = finish(process)
    assert status == 1
    assert "sum was killed, most often because memory ran out" in errors
    until(lambda: not alive(helper), 2.0)


@pytest.mark.slow
@linux
def test_helpers_memory_is_counted(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper holds 200 MB."""
    monkeypatch.setenv("TOY_HELPER_SECONDS", "1.5")
    cost = execute(base, sum={"fault": "helper"}).artifacts["sum"].manifest.measured
    assert 200e6 < cost.peak_rss_bytes < 300e6
    assert cost.seconds > 1.5


@pytest.mark.slow
@linux
def test_a_paused_run_pauses_its_stage(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(base, run, sum={"pause": 0.05})
    state = until(lambda: next(run.glob("artifacts/.building/sum-*.keep/state.json"), None))
    process.send_signal(signal.SIGTSTP)
    until(lambda: _state(process.pid) == "T")
    before = state.read_text()
    time.sleep(0.3)
    assert state.read_text() == before
    process.send_signal(signal.SIGCONT)
    assert finish(process) == (0, "")


@pytest.mark.slow
def test_on_a_terminal_a_stage_draws_its_bar_and_a_stop_leaves_the_cursor_shown(base: Path, tmp_path: Path) -> None:
    terminal, end = os.openpty()
    code = "import toys; toys.script()"
    command = [sys.executable, "-c", code, str(base), str(tmp_path / "run"), json.dumps({"sum": {"pause": 1.0}})]
    with subprocess.Popen(command, stdout=end, stderr=end, env=os.environ | {"TERM": "xterm", "COLUMNS": "120"}) as run:
        os.close(end)
        shown = ""
        while "numbers/s" not in shown:
            shown += os.read(terminal, 4096).decode()
        run.send_signal(signal.SIGINT)
        with suppress(OSError):  # how Linux says that the other end is closed
            while more := os.read(terminal, 4096):
                shown += more.decode()
    os.close(terminal)
    assert run.returncode == 130
    assert "\u2501" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert shown.endswith("groundup: stopped; the same command resumes where it was\r\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_one_line(base: Path, tmp_path: Path, number: int, status: int) -> None:
    run = tmp_path / "run"
    process = start(base, run, sum={"pause": 0.2})
    until(lambda: next(run.glob("artifacts/.building/sum-*.keep/state.json"), None))
    process.send_signal(number)
    assert finish(process) == (status, "groundup: stopped; the same command resumes where it was\n")
    last = RunFolder(run).events()[-1]
    assert (last["event"], last["error"]) == ("stopped", "")  # and no number of a signal for `status` to show
    assert finish(start(base, run)) == (0, "")


def test_a_second_run_on_the_same_folder_is_refused_at_once(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = start(base, run, sum={"pause": 0.3})
    until(lambda: next(run.glob("artifacts/.building/sum-*.keep/state.json"), None))
    second = start(base, run)
    status, errors = finish(second)
    assert status == 1
    assert f"process {first.pid} on " in errors
    assert "is working on this run; wait for it to end, or give this run a folder of its own with --run" in errors
    first.kill()
    finish(first)


@pytest.fixture
def folder(base: Path) -> RunFolder:
    return RunFolder(base.parent / "run")


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("user", "numbers.txt:3: the numbers are odd; make them even"),
        ("memory", "sum ran out of memory; close other programs, or choose a smaller size or batch, then run again"),
        (
            "oom",
            "sum was killed, most often because memory ran out; close other programs, or choose a smaller size or "
            "batch, then run again: it resumes where it was",
        ),
    ],
)
def test_a_failure_is_one_line_and_the_next_run_resumes(base: Path, folder: RunFolder, fault: str, line: str) -> None:
    with pytest.raises(GroundupError) as caught:
        execute(base, sum={"fault": fault})
    assert str(caught.value) == line
    assert folder.events()[-1]["event"] == "failed"
    assert not list(folder.path.glob("log/*"))
    assert not [path for path in folder.path.glob("artifacts/.building/*") if path.suffix != ".keep"] or fault == "oom"
    outcome = execute(base)
    assert outcome.made == ["sum", "last"]
    assert int(outcome.artifacts["sum"].file("records/resumed_at.txt").read_text()) == 6


@pytest.mark.parametrize(
    ("fault", "word"), [("bug", "ZeroDivisionError: nobody foresaw this"), ("segfault", "in _break")]
)
def test_a_mistake_of_ours_leaves_its_traceback_in_a_log(base: Path, folder: RunFolder, fault: str, word: str) -> None:
    with pytest.raises(GroundupError, match="sum failed, which is a bug in groundup") as caught:
        execute(base, sum={"fault": fault})
    assert caught.value.where == str(folder.log("sum"))
    assert word in folder.log("sum").read_text()


def test_an_input_that_was_tampered_with_is_not_used(done: Path) -> None:
    numbers = RunFolder(done.parent / "run").artifact("read").file("numbers.json")
    numbers.write_text(numbers.read_text().replace("1", "2"))
    with pytest.raises(GroundupError, match="has changed since it was published") as caught:
        execute(done, sum={"start": 5})
    assert caught.value.where == str(numbers)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root to mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("can't mount here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_loses_nothing(base: Path, small_disk: Path) -> None:
    run = small_disk / "run"
    status, errors = finish(start(base, run, sum={"fault": "disk"}))
    assert status == 1
    assert errors.count("\n") == 1
    assert "can't write (No space left on device); make room or choose another folder" in errors
    assert finish(start(base, run)) == (0, "")
    assert int(RunFolder(run).artifact("sum").file("records/resumed_at.txt").read_text()) == 6


def test_a_disk_that_is_full_before_the_start_is_named(base: Path, small_disk: Path) -> None:
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    status, errors = finish(start(base, small_disk / "run"))
    assert status == 1
    assert errors.count("\n") == 1
    assert "No space left on device" in errors
    filler.unlink()
    assert finish(start(base, small_disk / "run")) == (0, "")


def _read(path: Path | None) -> str:
    return path.read_text() if path else ""


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
