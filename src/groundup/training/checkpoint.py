"""Where a stage keeps its place: the newest whole checkpoint is used, a damaged one is passed over.

A checkpoint is a folder `checkpoint-<step>` with `tensors.safetensors` and `state.json`, which holds the step, the
number of threads and a SHA-256 over both files. (A CPU adds in another order with another number of threads, so a
resumed run is the uninterrupted one bit for bit only at the same number.)
"""

import hashlib
import json
import shutil
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

TENSORS, STATE = "tensors.safetensors", "state.json"
KEPT = 2  # the newest, and one to fall back to


@dataclass(frozen=True)
class Checkpoint:
    step: int  # steps done
    tensors: dict[str, Tensor]
    values: dict[str, Any]  # the loop's other state, as JSON
    threads: int


class Checkpoints:
    """The checkpoints of one stage, in `folder`."""

    def __init__(self, folder: Path, every_seconds: float) -> None:
        self.folder, self.every_seconds = folder, every_seconds
        self._last_saved = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._last_saved >= self.every_seconds

    def save(self, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Write aside, sync, rename; then drop the ones that are no longer needed.

        Raises:
            GroundupError: the disk is full or can't be written.
        """
        aside, final = self.folder / ".checkpoint", self.folder / f"checkpoint-{step:09}"
        try:
            remove(aside)
            aside.mkdir(parents=True)
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside / TENSORS)
            state = {"step": step, "threads": torch.get_num_threads(), "values": dict(values)}
            write_text(aside / STATE, json.dumps(state | {"sha256": _seal(aside, state)}) + "\n")
            remove(final)
            publish(aside, final)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            cause = error if isinstance(error, OSError) else OSError(str(error))
            raise disk_error(cause, final) from error
        for old in self._newest_first()[KEPT:]:
            remove(old)
        self._last_saved = time.monotonic()

    def load(self) -> Checkpoint | None:
        """The newest checkpoint whose digest holds, or None."""
        for folder in self._newest_first():
            try:
                state = json.loads((folder / STATE).read_text(encoding="utf-8"))
                if _seal(folder, state) == state["sha256"]:
                    tensors = load_file(folder / TENSORS)
                    return Checkpoint(state["step"], tensors, state["values"], state["threads"])
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                pass  # half-written or damaged: the one before it serves
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*"), reverse=True)


def _seal(folder: Path, state: Mapping[str, Any]) -> str:
    """SHA-256 over the tensors' file and all of the state: a flipped bit in either would load silently."""
    content = json.dumps([sha256_of(folder / TENSORS), state["step"], state["threads"], state["values"]])
    return hashlib.sha256(content.encode()).hexdigest()
