"""Commands that the guide quotes: run once for a state of the code and of the run, and remembered."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.report.guide.book import PACKAGE

SECONDS = 300
WIDTH = 88  # columns of what is quoted
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def code_digest() -> str:
    """Of every file of the package that can change what a command prints."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Remembering:
    """Results by what they were made from, one file each."""

    folder: Path
    state: str
    """Digest of all that every result depends on: the code and the run."""

    def known(self, what: Any) -> Any:
        """The JSON-ready result remembered for `what`; None where there is none."""
        path = self._path(what)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def remember(self, what: Any, made: Any) -> None:
        """Write a result down."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self._path(what), json.dumps(made))

    def _path(self, what: Any) -> Path:
        key = hashlib.sha256(json.dumps([self.state, what]).encode()).hexdigest()[:24]
        return self.folder / f"{key}.json"


def run_command(command: str, run: Path, shown: str, folder: Path, where: str) -> str:
    """What a command line prints.

    Args:
        command: `{run}` in it is the run's folder; `groundup` is this installation.
        shown: the run's name in the text, which takes its path's stead in the output.
        folder: where it runs; kept between the commands of a build.

    Raises:
        GroundupError: it failed, or took too long.
    """
    words = [word.replace("{run}", str(run.resolve())) for word in shlex.split(command)]
    if words[0] == "groundup":
        words = [sys.executable, "-m", "groundup", *words[1:]]
    elif words[0] == "python":
        words = [sys.executable, *words[1:]]
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": str(WIDTH), "NO_COLOR": "1"}
    environment.pop("FORCE_COLOR", None)
    try:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise GroundupError(f"{command} took more than {SECONDS} seconds", where=where) from None
    if done.returncode:
        raise GroundupError(f"{command} failed: {(done.stderr or done.stdout).strip()[-1500:]}", where=where)
    output = _COLOUR.sub("", done.stdout).replace(str(run.resolve()), shown)
    return "\n".join(line.rstrip() for line in output.strip("\n").splitlines())
