"""The chapters' own Python: their blocks and the values in their sentences, evaluated in the order in which they
are read, each chapter in a namespace of its own, all in one process apart from the build's.

A chapter's code sees `run` (`groundup.report.run.Run`), `RUN` (the run's folder), `math` and what it imports.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from groundup.errors import GroundupError
from groundup.report import wording

MARK = "guide:"  # begins the lines of results


class SessionItem(TypedDict):
    """A block, a value or a plot."""

    where: str
    kind: Literal["block", "value", "plot"]
    code: str


FORMATS: dict[str, Callable[[Any], str]] = {
    "count": wording.count,
    "percent": wording.percent,
    "size": wording.size,
    "duration": wording.duration,
    "millions": wording.millions,
    "points": wording.points,
    "signed": wording.signed,
}


def evaluate(chapters: Mapping[str, Sequence[SessionItem]], run: Path) -> Iterator[tuple[str, list[Any]]]:
    """Each chapter's name with what its items give, as soon as it is done: a block its output, a value its text, a plot
    its data.

    Raises:
        GroundupError: some items failed; every one of them is named, after all chapters were tried.
    """
    given = json.dumps({"run": str(run.resolve()), "chapters": chapters})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "88", "NO_COLOR": "1"}
    failed: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "groundup.report.guide.session"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        process.stdin.write(given)
        process.stdin.close()
        for line in process.stdout:
            if not line.startswith(MARK):
                continue  # what a library printed
            found = json.loads(line.removeprefix(MARK))
            failed += found["failed"]
            if not found["failed"]:
                yield found["chapter"], found["results"]
    if failed or process.returncode:
        what = "\n".join(failed) or f"the process ended with status {process.returncode}"
        raise GroundupError(f"code of the chapters failed\n{what}", where="the guide")


def formatted(value: Any, how: str) -> str:
    """`value` as a name of `FORMATS` or a format specification writes it.

    Raises:
        ValueError: there is no value.
    """
    if value is None:
        raise ValueError("there is no such figure")
    if not how:
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if (named := FORMATS.get(how)) is not None:
        return named(value)
    return format(value, how).replace("-", wording.MINUS)


def _value(code: str, namespace: dict[str, Any]) -> str:
    expression, _, how = code.partition(" as ")
    return formatted(eval(expression, namespace), how.strip())


def _plot(code: str, namespace: dict[str, Any]) -> Mapping[str, Any]:
    exec(code, namespace)
    plot: dict[str, Any] = namespace["plot"]
    plot["lines"] = {name: [[float(x) for x in axis] for axis in axes] for name, axes in plot["lines"].items()}
    return plot


def _block(code: str, namespace: dict[str, Any]) -> str:
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        exec(compile(code, "<the guide>", "exec"), namespace)
    return written.getvalue()


def main() -> int:
    """Read `{run, chapters}` from standard input; print a marked line of JSON for each chapter."""
    from groundup.report.guide.figures import open_run

    given = json.loads(sys.stdin.read())
    run = open_run(Path(given["run"]))
    for chapter, items in given["chapters"].items():
        namespace: dict[str, Any] = {"run": run, "RUN": given["run"], "math": math, "__name__": "guide"}
        results: list[Any] = []
        failed = []
        for item in items:
            try:
                results.append({"block": _block, "value": _value, "plot": _plot}[item["kind"]](item["code"], namespace))
            except Exception as error:  # a chapter's code: the build names the block and fails
                failed.append(f"{item['where']}: {type(error).__name__}: {error}\n    in {item['code'].strip()[:200]}")
        print(MARK + json.dumps({"chapter": chapter, "results": results, "failed": failed}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
