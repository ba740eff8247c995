"""Running the same function over many partitions: in this process, in worker processes by Daft, or on a Ray cluster.

The adapter knows no curation and the kernels know no engine. A function and its tasks are pickled; what a task returns
is small, since results lie in files. A Daft plan with a row for each task maps it in worker processes; Daft's native
runner starts these on this machine, its Ray runner on the cluster's. With one worker, or one task, there is nothing to
distribute and the function is called here.

Daft sends usage statistics home when it is imported, unless DO_NOT_TRACK is set: this module sets it.

    engine = DataEngine(workers=2)
    for index, figures in engine.map(read_partition, tasks, labels, marks):    # as they are finished
        ...

A task that raises GroundupError, runs out of memory or finds the disk full is reported as one error, as if it had
happened here. The death of a worker is reported with the task that it was at: a worker locks a file in `marks` that
names the task, and the operating system releases the lock of a dead process.
"""

import fcntl
import os
import pickle
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from groundup.artifacts import durable
from groundup.corpus.configuration import EngineConfig
from groundup.errors import GroundupError
from groundup.machine import total_memory, usable_cores

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

_LESS = "give curate.engine fewer workers or close other programs, then run again: it resumes"
_WORKER_BYTES = 1 << 30  # a worker takes half of it, and a large page of HTML as much again
_DEATHS = ("UDF process closed the connection", "UDF process has terminated")  # as Daft says that a worker is gone
_SURROUNDINGS = {"DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0"}
_SAFE_PATH = "PYTHONSAFEPATH"  # workers take no modules of the current folder in place of installed ones
_LIBRARY_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class DataEngine:
    """Where tasks run."""

    kind: Literal["local", "ray"] = "local"
    workers: int = 1
    address: str = ""
    """Of a Ray cluster (`ray://head:10001`, `auto`); empty: one is started on this machine."""

    def map(
        self,
        function: Callable[[TaskT], ResultT],
        tasks: Sequence[TaskT],
        labels: Sequence[str],
        marks: Path,
    ) -> Iterator[tuple[int, ResultT]]:
        """`(index of the task, what the function returned)`, in the order in which they are finished.

        Args:
            function: a function of a module, so that it can be pickled by name.
            tasks: what it is called with.
            labels: what each task is called in an error.
            marks: a folder that all workers see, for their marks.

        Raises:
            GroundupError: a task raised it, ran out of memory, found the disk full, or ended its worker.
        """
        if not tasks:
            return
        if self.kind == "local" and min(self.workers, len(tasks)) == 1:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        marks.mkdir(parents=True, exist_ok=True)
        for old in marks.iterdir():
            old.unlink(missing_ok=True)
        rows = [
            pickle.dumps((index, function, task, label, str(marks)))
            for index, (task, label) in enumerate(zip(tasks, labels, strict=True))
        ]
        for answer in self._answers(rows, marks):
            index, result, error = pickle.loads(answer)
            if error is not None:
                what, where, do = error
                raise GroundupError(what, where=where, do=do)
            yield index, result

    def start(self) -> None:
        """Join the Ray cluster, if that is where tasks run.

        It must be called before anything else uses Daft in this process, such as the listing of remote sources.

        Raises:
            GroundupError: Ray is not installed, does not answer, or comes too late.
        """
        os.environ |= _SURROUNDINGS
        if self.kind == "ray":
            self._join_ray()

    def _answers(self, rows: list[bytes], marks: Path) -> Iterator[bytes]:
        """One pickled answer for each row, as they come."""
        before = os.environ.get(_SAFE_PATH)
        os.environ[_SAFE_PATH] = "1"
        try:
            yield from self._started_answers(rows, marks)
        finally:  # what else this process starts is none of an engine's business
            if before is None:
                del os.environ[_SAFE_PATH]
            else:
                os.environ[_SAFE_PATH] = before

    def _started_answers(self, rows: list[bytes], marks: Path) -> Iterator[bytes]:
        self.start()
        import daft

        functions: Any = daft
        # Answers come as they are ready; in order, a long task would let the other workers wait.
        with daft.execution_config_ctx(maintain_order=False):
            frame = daft.from_pydict({"task": rows})
            if self.kind == "ray":
                # A pool of actors would wait for ever for one that died; processes below Daft's own actors don't.
                run: Any = functions.func(_run, use_process=True, max_retries=0, cpus=1)
                frame = frame.into_partitions(len(rows))
            else:
                workers = min(self.workers, len(rows))
                run = functions.cls(_TaskRunner, use_process=True, max_concurrency=workers, max_retries=0)().run
                frame = frame.into_batches(1)
            frame = frame.select(run(daft.col("task")).alias("answer"))
            try:
                for partition in frame.iter_partitions():
                    yield from _here(partition).to_pydict()["answer"]
            except RuntimeError as error:
                raise _explained(error, marks) from error

    def _join_ray(self) -> None:
        import daft

        try:
            import ray
        except ImportError as error:
            raise GroundupError(
                "Ray is not installed", where="curate.engine.kind", do="pip install 'groundup[cluster]'"
            ) from error
        if not ray.is_initialized():
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
            try:
                if self.address:
                    ray.init(address=self.address, **quiet)
                else:
                    ray.init(num_cpus=self.workers, include_dashboard=False, **quiet)
            except ConnectionError as error:
                raise GroundupError(
                    f"the Ray cluster does not answer ({error})",
                    where="curate.engine.address",
                    do="start it with `ray start --head`, or correct the address",
                ) from error
        if daft.set_runner_ray(noop_if_initialized=True).name != "ray":
            raise GroundupError(
                "Daft has worked without Ray in this process already",
                where="curate.engine.kind",
                do="start a new process: Daft can't change its runner",
            )


def engine_of(config: EngineConfig) -> DataEngine:
    """The engine that a blueprint asks for."""
    return DataEngine(config.kind, config.workers or _processors(), config.address or "")


def _processors() -> int:
    """Processors that this process may use, as far as there is memory for a worker on each."""
    cores, memory = usable_cores(), total_memory()
    return cores if memory is None else max(1, min(cores, memory // _WORKER_BYTES))


class _TaskRunner:
    """What lives in each worker process of this machine and is called with one task after the other."""

    def run(self, row: bytes) -> bytes:
        return _run(row)


def _run(row: bytes) -> bytes:
    """Call the pickled function with the pickled task; `(index, result, None)` or `(index, None, error)`, pickled."""
    index, function, task, label, marks = pickle.loads(row)
    mark = _marked(Path(marks))
    _write(mark, label)
    try:
        return pickle.dumps((index, function(task), None))
    except GroundupError as error:
        return pickle.dumps((index, None, (error.what, error.where, error.do)))
    except MemoryError:
        return pickle.dumps((index, None, ("a worker ran out of memory", label, _LESS)))
    except OSError as error:
        if not durable.is_disk_error(error):
            raise
        full = durable.disk_error(error, Path(marks).parent)
        return pickle.dumps((index, None, (full.what, full.where, full.do)))
    finally:
        _write(mark, "")


def _write(mark: IO[str], label: str) -> None:
    mark.seek(0)
    mark.truncate()
    mark.write(label)
    mark.flush()


@cache
def _marked(folder: Path) -> IO[str]:
    """The file that says what this process is at, locked for as long as it lives; made with its first task."""
    # Tasks are what runs side by side; threads of libraries would only get in their way.
    os.environ |= dict.fromkeys(_LIBRARY_THREADS, "1")
    import pyarrow as pa

    pa.set_cpu_count(1)
    mark = (folder / secrets.token_hex(8)).open("w", encoding="utf-8")
    fcntl.flock(mark, fcntl.LOCK_EX)
    return mark


def _here(partition: Any) -> Any:
    """A partition of Daft's, fetched from the cluster if it lies there."""
    if hasattr(partition, "to_pydict"):
        return partition
    import ray

    return ray.get(partition)


def _explained(error: RuntimeError, marks: Path) -> Exception:
    """A worker's death as a sentence that names what it was at; any other error as it is."""
    dead = []
    for path in sorted(marks.iterdir()):
        with path.open(encoding="utf-8") as mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            dead.append(mark.read())  # empty where it had ended its task before it was ended
    if not any(words in str(error) for words in _DEATHS):
        return error
    where = " or ".join(sorted(filter(None, dead))) or None
    return GroundupError("a worker was killed, most often because memory ran out", where=where, do=_LESS)
