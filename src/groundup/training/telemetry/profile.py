"""PyTorch's profiler over a few steps: a Chrome trace and a table of the costliest operators."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from groundup.training.configuration import ProfileConfig

ROWS = 40  # of the table


class Profile:
    """Watches the steps that `config` names, counted from 1.

    Writes `steps-10-12.json.gz` (open it in Perfetto or chrome://tracing) and `steps-10-12.txt` into `folder`; where
    there are several processes, one of each for each of them.
    """

    def __init__(self, config: ProfileConfig, device: torch.device, folder: Path, rank: int = 0) -> None:
        self.config, self.device, self.folder, self.rank = config, device, folder, rank
        self._profiler: profile | None = None
        self._first = self._last = 0

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Within it: step `number`."""
        end = self.config.start + self.config.steps - 1
        if self._profiler is None and self.config.start <= number <= end:
            activities = [ProfilerActivity.CPU]
            if self.device.type == "cuda":
                activities.append(ProfilerActivity.CUDA)
            self._profiler = profile(activities=activities, record_shapes=True)
            self._profiler.start()
            self._first = number
        if self._profiler is None:
            yield
            return
        with torch.profiler.record_function(f"step {number}"):
            yield
        self._last = number
        if number >= end:
            self.close()

    def close(self) -> None:
        """Write what was watched so far, if anything."""
        if self._profiler is None:
            return
        profiler, self._profiler = self._profiler, None
        profiler.stop()
        if self._last < self._first:
            return  # not one step was finished
        process = f".process-{self.rank}" if self.rank else ""
        name = f"steps-{self._first}-{self._last}{process}"
        self.folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(self.folder / f"{name}.json.gz"))
        order = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=order, row_limit=ROWS)
        (self.folder / f"{name}.txt").write_text(table + "\n", encoding="utf-8")
