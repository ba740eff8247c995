"""One JSON object a line, appended while a stage works; a resumed stage first cuts what it is about to write again."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundup.artifacts.durable import write_text


class MetricsLog:
    """Appends rows to a JSON-lines file. Every row has a `step`."""

    def __init__(self, path: Path, resume_at: int = 0) -> None:
        """Rows of steps after `resume_at` (they were written after the checkpoint) are dropped."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            kept = [row for row in read_metrics(path) if row["step"] <= resume_at]
            write_text(path, "".join(_line(row) for row in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, **values: Any) -> None:
        self._file.write(_line({"step": step, **values}))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _line(row: dict[str, Any]) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(finite, ensure_ascii=False, allow_nan=False) + "\n"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line that a kill cut short is skipped."""
    return list(_rows(path))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield row
