"""Where a stage keeps its place: the newest whole checkpoint is used, a damaged one is passed over.

A checkpoint is a folder `checkpoint-<step>` with `tensors.safetensors` and `state.json`, which holds the step, the
number of threads and a SHA-256 over both files. (A CPU adds in another order with another number of threads, so a
resumed run is the uninterrupted one bit for bit only at the same number.)

Tensors are copied and then written by a thread, while training goes on.
"""

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from groundup.artifacts.durable import disk_error, publish, remove, sha256_of, write_text
from groundup.training.configuration import LoopConfig

TENSORS, STATE = "tensors.safetensors", "state.json"
NEWEST = 2  # kept in any case: the newest, and one to fall back to


@dataclass(frozen=True)
class Checkpoint:
    step: int  # steps done
    tensors: dict[str, Tensor]
    values: dict[str, Any]  # the loop's other state, as JSON
    threads: int


class Checkpoints:
    """The checkpoints of one stage, in `folder`."""

    def __init__(self, folder: Path, config: LoopConfig) -> None:
        """`config` says how often one is due and which are kept beside the newest."""
        self.folder, self.config = folder, config
        self._last_saved = time.monotonic()
        self._writer: threading.Thread | None = None
        self._failure: BaseException | None = None

    def due(self, step: int, held_out: Mapping[str, float] | None = None) -> bool:
        """Whether one should be saved after `step` steps.

        Args:
            held_out: the held-out figures, where they were looked at after this step.
        """
        every = self.config.checkpoint_every
        return (
            time.monotonic() - self._last_saved >= self.config.checkpoint_seconds
            or (every is not None and step % every == 0)
            or (self.config.checkpoint_best and bool(held_out))
        )

    def save(self, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Copy the tensors and write them in a thread: aside, synced, renamed; then drop those no longer needed.

        Raises:
            GroundupError: the disk is full or can't be written; told at this call or at the next.
        """
        self.finish()
        state = {"step": step, "threads": torch.get_num_threads(), "values": dict(values)}
        copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        self._writer = threading.Thread(target=self._try_to_write, args=(copies, state), name="checkpoint")
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

    def load(self) -> Checkpoint | None:
        """The newest checkpoint whose digest holds, or None."""
        for folder in self._newest_first():
            checkpoint = _read(folder)
            if checkpoint is not None:
                return checkpoint
        return None

    def lasting(self) -> list[Path]:
        """The checkpoints that are kept for good, oldest first: every so many steps, and the best."""
        every = self.config.checkpoint_every
        folders = self._newest_first()[::-1]
        kept = {folder for folder in folders if every is not None and _step(folder) % every == 0}
        if self.config.checkpoint_best:
            losses = {folder: loss for folder in folders if (loss := _held_out_loss(folder)) is not None}
            if losses:
                kept.add(min(losses, key=lambda folder: (losses[folder], _step(folder))))
        return [folder for folder in folders if folder in kept]

    def _try_to_write(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        try:
            self._write(tensors, state)
        except BaseException as error:  # a thread has nobody to tell: the next call raises it
            self._failure = error

    def _write(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        aside, final = self.folder / ".checkpoint", self.folder / f"checkpoint-{state['step']:09}"
        try:
            remove(aside)
            aside.mkdir(parents=True)
            save_file(tensors, aside / TENSORS)
            write_text(aside / STATE, json.dumps(state | {"sha256": _seal(aside, state)}) + "\n")
            remove(final)
            publish(aside, final)
            needed = {*self._newest_first()[:NEWEST], *self.lasting()}
            for folder in self._newest_first():
                if folder not in needed:
                    remove(folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            cause = error if isinstance(error, OSError) else OSError(str(error))
            raise disk_error(cause, final) from error

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*"), reverse=True)


def _read(folder: Path) -> Checkpoint | None:
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if _seal(folder, state) == state["sha256"]:
            return Checkpoint(state["step"], load_file(folder / TENSORS), state["values"], state["threads"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        pass  # half-written or damaged: the one before it serves
    return None


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("checkpoint-"))


def _held_out_loss(folder: Path) -> float | None:
    """The loss that was looked at after exactly this checkpoint's step, None where it was not."""
    try:
        values = json.loads((folder / STATE).read_text(encoding="utf-8"))["values"]
        looked_at: dict[str, float] = values["looked_at"]
        return looked_at.get("heldout_loss")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seal(folder: Path, state: Mapping[str, Any]) -> str:
    """SHA-256 over the tensors' file and all of the state: a flipped bit in either would load silently."""
    content = json.dumps([sha256_of(folder / TENSORS), state["step"], state["threads"], state["values"]])
    return hashlib.sha256(content.encode()).hexdigest()
