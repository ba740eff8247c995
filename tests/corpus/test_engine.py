"""Tasks come back from every engine, and so does what goes wrong in them, in one sentence."""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import engine_tasks
import pytest

from groundup.corpus.configuration import EngineConfig
from groundup.corpus.engine import DataEngine, engine_of
from groundup.errors import GroundupError

LABELS = [f"docs: rows.jsonl, part {number}" for number in range(6)]


@pytest.fixture(autouse=True)
def _workers_find_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))


def run(engine: DataEngine, function: Callable, marks: Path, tasks: int = 6) -> dict[int, object]:
    return dict(engine.map(function, range(tasks), LABELS[:tasks], marks))


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    found = list(DataEngine().map(engine_tasks.square, range(4), LABELS[:4], tmp_path))
    assert found == [(number, (number * number, os.getpid())) for number in range(4)]
    assert run(DataEngine(workers=3), engine_tasks.square, tmp_path, 1) == {0: (0, os.getpid())}
    assert run(DataEngine(workers=3), engine_tasks.square, tmp_path, 0) == {}


def test_several_workers_share_the_tasks_and_none_waits_for_a_slow_one(tmp_path: Path) -> None:
    found = list(DataEngine(workers=2).map(engine_tasks.square, range(6), LABELS, tmp_path))
    assert {index: square for index, (square, _) in found} == {number: number**2 for number in range(6)}
    processes = {process for _, (_, process) in found}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert found[-1][0] == 0, "the slow task comes last: the others did not wait for it"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_of_the_user_arrives_as_it_was_raised(tmp_path: Path, workers: int) -> None:
    with pytest.raises(GroundupError) as error:
        run(DataEngine(workers=workers), engine_tasks.mistaken, tmp_path)
    assert (error.value.what, error.value.where, error.value.do) == ("the row is bad", "rows.jsonl:3", "correct it")


def test_a_mistake_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ValueError: a mistake of ours"):
        run(DataEngine(workers=2), engine_tasks.broken, tmp_path)


@pytest.mark.parametrize(
    ("function", "what", "where"),
    [
        (engine_tasks.killed, "a worker was killed, most often because memory ran out", LABELS[2]),
        (engine_tasks.crashed, "a worker was killed, most often because memory ran out", LABELS[2]),
        (engine_tasks.out_of_memory, "a worker ran out of memory", LABELS[2]),
        (engine_tasks.disk_full, "can't write (No space left on device)", None),
    ],
)
def test_the_end_of_a_worker_names_what_it_was_at(
    tmp_path: Path, function: Callable, what: str, where: str | None
) -> None:
    with pytest.raises(GroundupError) as error:
        run(DataEngine(workers=2), function, tmp_path / "marks")
    assert error.value.what == what
    assert error.value.where == (where or str(tmp_path))
    assert error.value.do and "again: it resumes" in error.value.do


def test_interrupting_ends_the_workers(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole process group, as a terminal sends it."""
    code = (
        "import sys, engine_tasks; from pathlib import Path; from groundup.corpus.engine import DataEngine\n"
        "many = DataEngine(workers=2).map(engine_tasks.square, range(9999), ['x'] * 9999, Path(sys.argv[1]))\n"
        "for _, (_, process) in many:\n"
        "    print(process, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    workers = {int(process.stdout.readline()) for _ in range(20)}
    os.killpg(process.pid, 2)
    process.wait(30)
    until = time.monotonic() + 20
    while any(_alive(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(_alive(worker) for worker in workers)


@pytest.mark.slow
def test_a_worker_that_dies_on_a_cluster_is_named_too(tmp_path: Path) -> None:
    """In a process of its own: Daft can't change its runner."""
    pytest.importorskip("ray")
    code = (
        "import sys, engine_tasks; from pathlib import Path; from groundup.corpus.engine import DataEngine\n"
        "engine, labels, marks = DataEngine('ray', 2), [f'task {n}' for n in range(6)], Path(sys.argv[1])\n"
        "print({index: square for index, (square, _) in engine.map(engine_tasks.square, range(6), labels, marks)})\n"
        "for function in (engine_tasks.killed, engine_tasks.mistaken):\n"
        "    try:\n"
        "        list(engine.map(function, range(6), labels, marks))\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=240)
    squares, killed, mistaken = done.stdout.splitlines()
    assert ast.literal_eval(squares) == {number: number**2 for number in range(6)}
    assert killed.startswith("GroundupError task 2: a worker was killed")
    assert mistaken == "GroundupError rows.jsonl:3: the row is bad; correct it"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_follow_from_the_machine_unless_they_are_given() -> None:
    assert engine_of(EngineConfig(workers=3)) == DataEngine("local", 3, "")
    assert engine_of(EngineConfig(kind="ray", address="auto", workers=2)) == DataEngine("ray", 2, "auto")
    assert 1 <= engine_of(EngineConfig()).workers <= (os.cpu_count() or 1)
