"""A run's folder: its layout, and what it remembers of the newest run.

blueprint.yaml          the blueprint as executed, every value resolved
blueprint.source.yaml   the file as its author wrote it
run.json                where that file is, the overrides, and the artifact of each stage in the newest run
artifacts/              <stage>-<key>/ each
metrics.jsonl           one row per event of a stage: started, done, reused, failed, stopped
log/<stage>.log         what libraries wrote, and the traceback of a stage that failed
log/<stage>/rank-N.log  the same for each process of a distributed stage
model/ report/          copies of the newest exported model and the newest report

`run.json` holds the digests of the blueprint's copies, the events and the logs; each artifact's manifest those of its
files. `groundup verify` checks them all.
"""

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groundup.artifacts import Artifact, Manifest, Store, durable
from groundup.artifacts.json_files import read_sealed, write_sealed
from groundup.artifacts.manifest import MANIFEST, check_copy
from groundup.artifacts.outside import Digests
from groundup.errors import GroundupError

FORMAT = "groundup run 1"
SEALED = ("blueprint.yaml", "blueprint.source.yaml", "metrics.jsonl")
REBUILD = "run its blueprint again with `groundup run`: the file is then rebuilt"


@dataclass
class Remembered:
    """The newest run, in `run.json`."""

    blueprint: str
    overrides: list[str] = field(default_factory=list)
    stages: dict[str, str] = field(default_factory=dict)  # stage -> name of its artifact's folder


@dataclass
class Seal:
    """What a file of the run folder held when `run.json` was written; events may be appended after."""

    bytes: int
    sha256: str


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path)

    @property
    def cache(self) -> Path:
        return self.path / "artifacts" / ".digests"

    def log(self, stage: str) -> Path:
        return self.path / "log" / f"{stage}.log"

    def check(self) -> None:
        """Raises GroundupError if the path is a folder of something else, or no folder, or not UTF-8."""
        try:
            str(self.path.absolute()).encode()
        except UnicodeEncodeError:
            shown = os.fsencode(self.path).decode("utf-8", "replace")
            raise GroundupError(
                "the path of a run folder must be UTF-8", where=shown, do="name another folder with --run"
            ) from None
        if self.path.exists() and not self.path.is_dir():
            raise GroundupError("is a file, not a run folder", where=str(self.path), do="name another with --run")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "artifacts").is_dir():
            raise GroundupError(
                "holds other files and is no run folder",
                where=str(self.path),
                do="name a new or empty folder with --run",
            )

    def must_exist(self) -> "RunFolder":
        """Itself; raises GroundupError if nothing was ever run in it."""
        if not (self.path / "run.json").is_file():
            raise GroundupError("is no run folder", where=str(self.path), do="name one that `groundup run` made")
        return self

    def remember(self, what: Remembered, making: str | None = None) -> None:
        """Write `run.json`, with the digests of the blueprint's copies, the events and the logs.

        Args:
            making: the stage that is about to run, whose log is not sealed.
        """
        own = {self.log(making), *self.log(making).with_suffix("").glob("*")} if making else set()
        logs = [path for path in sorted((self.path / "log").rglob("*")) if path.is_file() and path not in own]
        paths = [path for path in map(self.path.joinpath, SEALED) if path.is_file()]
        sealed = {
            path.relative_to(self.path).as_posix(): asdict(Seal(path.stat().st_size, durable.sha256_of(path)))
            for path in [*paths, *logs]
        }
        write_sealed(self.path / "run.json", FORMAT, {**asdict(what), "sealed": sealed})

    def remembered(self) -> Remembered | None:
        """What the newest run left, or None before the first.

        Raises:
            GroundupError: `run.json` is damaged, or of another version.
        """
        path = self.path / "run.json"
        if not path.is_file():
            return None
        content = read_sealed(path, FORMAT, REBUILD)
        return Remembered(content["blueprint"], content["overrides"], content["stages"])

    def seals(self) -> dict[str, Seal]:
        """The sealed files, by their paths in the folder; raises GroundupError as `remembered` does."""
        content = read_sealed(self.path / "run.json", FORMAT, REBUILD)
        return {name: Seal(**seal) for name, seal in content["sealed"].items()}

    def artifact(self, stage: str) -> Artifact:
        """The artifact of a stage in the newest run, checked against its manifest.

        Files that have not changed since they were last checked are not read again.

        Raises:
            GroundupError: the newest run has none, or a file of it is damaged.
        """
        self.must_exist()
        remembered = self.remembered()
        name = remembered.stages.get(stage) if remembered else None
        if name is None or not (self.path / "artifacts" / name).is_dir():
            raise GroundupError(
                f"its newest run has no {stage}", where=str(self.path), do="run the blueprint to its end"
            )
        folder = self.path / "artifacts" / name
        artifact = Artifact(folder, Manifest.read(folder))
        digests = Digests(self.cache)
        artifact.verify(digests.of_file)
        digests.save()
        return artifact

    def copy(self, name: str) -> Path:
        """The folder `name`, the copy of an artifact, every byte of it checked.

        Raises:
            GroundupError: there is none, or a file of it is damaged.
        """
        folder = self.path / name
        if not folder.is_dir():
            raise GroundupError(f"has no {name} yet", where=str(self.path), do="finish `groundup run` first")
        check_copy(folder)
        return folder

    def event(self, event: str, stage: str, **values: Any) -> None:
        """Append a row to `metrics.jsonl`."""
        path = self.path / "metrics.jsonl"
        row = {"time": utc(), "event": event, "stage": stage, **values}
        size = path.stat().st_size if path.is_file() else 0
        with path.open("a+b") as file:
            if size:
                file.seek(-1, 2)
                if file.read(1) != b"\n":  # a kill cut the last row short
                    file.write(b"\n")
            file.write(json.dumps(row).encode() + b"\n")

    def events(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`, the oldest first; rows that a kill cut short are skipped."""
        path = self.path / "metrics.jsonl"
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def predicted(self) -> dict[str, dict[str, float]]:
        """What the plan said of each stage when it was last started."""
        return {row["stage"]: row.get("expected") or {} for row in self.events() if row.get("event") == "started"}

    def deliver(self, artifact: Artifact, name: str) -> None:
        """Copy an artifact to the folder `name`, replacing an older or damaged copy.

        A kill half-way leaves the old copy or none, and the next run delivers again.
        """
        final, aside = self.path / name, self.path / f".{name}.new"
        copied = final / MANIFEST
        if copied.is_file() and copied.read_bytes() == (artifact.path / MANIFEST).read_bytes():
            digests = Digests(self.cache)
            whole = not any(Artifact(final, artifact.manifest).damage(digests.of_file))
            digests.save()
            if whole:
                return
        durable.remove(aside)
        shutil.copytree(artifact.path, aside)
        durable.remove(final)
        durable.publish(aside, final)

    def sweep(self) -> None:
        """Remove what kills left half-done."""
        for path in self.path.glob(f"{durable.DOOMED}*"):
            shutil.rmtree(path, ignore_errors=True)
        self.store.sweep()


def utc() -> str:
    """Now, as `2026-01-31T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
