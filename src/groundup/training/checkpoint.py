"""The checkpoints of a training stage: the newest complete one is used, damaged ones are skipped.

A checkpoint is a folder `checkpoint-<step>` of safetensors files and `state.json`, which holds the step, the number of
threads and processes, the layout, the SHA-256 of every file and one over all of that. Where a job has several
processes, each writes what it holds, and they share the folder.

Tensors are copied and then written by a thread while training continues: into a temporary folder, which is renamed when
all that is in it has reached the disk. A kill at any moment leaves the checkpoints that were there.
"""

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from groundup.artifacts.durable import disk_error, publish, remove, sha256_of, write_text
from groundup.errors import GroundupError
from groundup.parallel.checkpointing.crew import Crew
from groundup.parallel.checkpointing.files import TensorFiles, write
from groundup.parallel.checkpointing.part import Snapshot, snapshot
from groundup.parallel.checkpointing.random_state import random_state, restore_random_state
from groundup.parallel.configuration import ParallelConfig
from groundup.training.configuration import CheckpointConfig

T = TypeVar("T")

STATE = "state.json"
NEWEST = 2  # kept in any case: the newest, and one to fall back to


@dataclass(frozen=True)
class Environment:
    """What the last bits of a sum depend on."""

    threads: int  # their number decides in which order a CPU adds
    processes: int
    layout: dict[str, Any]  # the fields of the `parallel:` section that are not the default

    def same_layout(self, other: "Environment") -> bool:
        return (self.processes, self.layout) == (other.processes, other.layout)

    def __str__(self) -> str:
        layout = ", ".join(f"{name} {value}" for name, value in self.layout.items())
        processes = f"{self.processes} processes" if self.processes > 1 else "1 process"
        return f"{processes}{f' ({layout})' if layout else ''}"


@dataclass(frozen=True)
class Checkpoint:
    step: int  # steps done
    tensors: TensorFiles
    values: dict[str, Any]  # the loop's other state, as JSON
    environment: Environment


class Checkpoints:
    """The checkpoints of one stage, in `folder`. Every process of a job has one and calls the same methods."""

    def __init__(self, folder: Path, config: CheckpointConfig, layout: ParallelConfig | None = None) -> None:
        """
        Args:
            config: how often one is due, and which are kept besides the newest.
            layout: over processes; random states are restored under the same one only.
        """
        self.folder, self.config, self.layout = folder, config, layout or ParallelConfig()
        self._last_saved = time.monotonic()
        self._writer: threading.Thread | None = None
        self._failure: BaseException | None = None

    def due(self, step: int, validation: Mapping[str, float] | None = None) -> bool:
        """Whether one should be saved after `step` steps.

        Args:
            validation: the validation figures, where they were measured after this step.
        """
        every = self.config.checkpoint_every
        return (
            time.monotonic() - self._last_saved >= self.config.checkpoint_seconds
            or (every is not None and step % every == 0)
            or (self.config.checkpoint_best and bool(validation))
        )

    def save(self, step: int, parts: Snapshot, values: Mapping[str, Any]) -> None:
        """Write a snapshot in a thread: to a temporary folder, synced, renamed; then drop unneeded checkpoints.

        Raises:
            GroundupError: the disk is full or can't be written; in every process, at this call or at the next.
        """
        self.finish()
        parts = parts | snapshot(random_state(self._crew.rank))
        now = self._environment
        state = {
            "step": step,
            "threads": now.threads,
            "processes": now.processes,
            "layout": now.layout,
            "values": dict(values),
        }
        self._writer = threading.Thread(target=self._try_to_write, args=(parts, state), name="checkpoint")
        self._writer.start()
        self._last_saved = time.monotonic()

    def finish(self) -> None:
        """Wait until the last checkpoint is on the disk.

        Raises:
            GroundupError: it could not be written.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def load(self, say: Callable[[str], None] = lambda line: None) -> Checkpoint | None:
        """The newest checkpoint whose digests hold, the same in every process, or None.

        Args:
            say: called with a line for each damaged checkpoint, and with the reason where the resumed run will not
                equal the uninterrupted one bit for bit.
        """
        for name in self._crew.together(lambda: [folder.name for folder in self._newest_first()])[0]:
            checkpoint = self._read(self.folder / name)
            if checkpoint is not None:
                for line in self._differences(checkpoint):
                    say(line)
                return checkpoint
            say(f"{name} is damaged: using the one before it")
        return None

    def restore_random_state(self, saved: Checkpoint) -> None:
        """Continue the sequences of random numbers; under another layout there are no states to continue from."""
        if saved.environment.same_layout(self._environment):
            restore_random_state(saved.tensors, self._crew.rank)

    def lasting(self) -> list[Path]:
        """The checkpoints that are kept permanently, oldest first: every `checkpoint_every` steps, and the best."""
        every = self.config.checkpoint_every
        folders = self._newest_first()[::-1]
        kept = {folder for folder in folders if every is not None and _step(folder) % every == 0}
        if self.config.checkpoint_best:
            losses = {folder: loss for folder in folders if (loss := _validation_loss(folder)) is not None}
            if losses:
                kept.add(min(losses, key=lambda folder: (losses[folder], _step(folder))))
        return [folder for folder in folders if folder in kept]

    @cached_property
    def _crew(self) -> Crew:
        return Crew()

    def _differences(self, saved: Checkpoint) -> list[str]:
        made, now = saved.environment, self._environment
        why = "sums round differently, so the result will not be the same bit for bit"
        lines = []
        if made.threads != now.threads:
            lines.append(f"the checkpoint was made with {made.threads} threads, this process has {now.threads}: {why}")
        if not made.same_layout(now):
            lines.append(f"the checkpoint was made by {made}, this run has {now}: the state is restored exactly, {why}")
        return lines

    @property
    def _environment(self) -> Environment:
        layout = self.layout.model_dump(mode="json", exclude_defaults=True)
        return Environment(torch.get_num_threads(), self._crew.size, layout)

    def _try_to_write(self, parts: Snapshot, state: dict[str, Any]) -> None:
        try:
            self._write(parts, state)
        except BaseException as error:  # nothing in a thread could catch it: the next call raises it
            self._failure = error

    def _write(self, parts: Snapshot, state: dict[str, Any]) -> None:
        aside, final = self.folder / ".checkpoint", self.folder / f"checkpoint-{state['step']:09}"
        crew = self._crew

        def make_room() -> None:
            if crew.leader:
                remove(aside)
                aside.mkdir(parents=True)

        def commit() -> None:
            if crew.leader:
                whole = state | {"files": files}
                write_text(aside / STATE, json.dumps(whole | {"seal": _seal(whole)}) + "\n")
                remove(final)
                publish(aside, final)
                needed = {*self._newest_first()[:NEWEST], *self.lasting()}
                for folder in self._newest_first():
                    if folder not in needed:
                        remove(folder)

        def together(step: Callable[[], T]) -> list[T]:
            return crew.together(lambda: _on_disk(step, final))

        try:
            together(make_room)
            together(lambda: write(parts, aside, crew))
            files = dict(named for some in together(lambda: self._digests(aside)) for named in some.items())
            together(commit)
        except GroundupError:
            if crew.leader:
                shutil.rmtree(aside, ignore_errors=True)
            raise

    def _read(self, folder: Path) -> Checkpoint | None:
        """None: half-written or damaged, in whichever process that is found."""
        state = _sealed_state(folder)

        def holds() -> bool:
            if state is None or [path.name for path in _files(folder)] != sorted(state["files"]):
                return False
            try:
                return all(state["files"][name] == digest for name, digest in self._digests(folder).items())
            except OSError:
                return False

        if not all(self._crew.together(holds)) or state is None:
            return None
        environment = Environment(state["threads"], state["processes"], state["layout"])
        return Checkpoint(state["step"], TensorFiles(folder), state["values"], environment)

    def _digests(self, folder: Path) -> dict[str, str]:
        """Names and SHA-256 of the files that this process checks; together the processes check all."""
        return {path.name: sha256_of(path) for path in _files(folder)[self._crew.rank :: self._crew.size]}

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*"), reverse=True)


def _on_disk(step: Callable[[], T], path: Path) -> T:
    """Run `step`; an error of the disk becomes a GroundupError that names `path`."""
    try:
        return step()
    except (OSError, SafetensorError) as error:
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise disk_error(cause, path) from error


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("checkpoint-"))


def _validation_loss(folder: Path) -> float | None:
    """The loss that was measured after exactly this checkpoint's step, None where it was not.

    Of a policy it is what its true score lacks to 1.
    """
    state = _sealed_state(folder)
    measured: dict[str, float] = {} if state is None else state["values"].get("measured", {})
    truth = measured.get("heldout_truth")
    return measured.get("heldout_loss") if truth is None else 1 - truth


def _sealed_state(folder: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return state if state.pop("seal") == _seal(state) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # half-written or damaged


def _seal(state: Mapping[str, Any]) -> str:
    """SHA-256 over the state, which contains the digests of the files: without it a flipped bit would load silently."""
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()
