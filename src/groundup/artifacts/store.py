"""The artifacts of one run: where they lie, who is building which, and what each was made from."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundup.artifacts import durable
from groundup.artifacts.key import StageKey
from groundup.artifacts.manifest import Artifact, Manifest, Measured
from groundup.errors import GroundupError


class Store:
    """`<run>/artifacts`: `<stage>-<key>/` for each published artifact, `.building/` for those under way.

    Building is `with store.lock(stage): aside, keep = store.begin(key); ...; store.publish(key, aside, ...)`.
    """

    def __init__(self, run: Path) -> None:
        self.root = run / "artifacts"
        self._building = self.root / ".building"
        self._locks = self.root / ".locks"

    def find(self, key: StageKey) -> Artifact | None:
        """The artifact published under `key`, if there is one."""
        folder = self.root / key.folder
        if not folder.is_dir():
            return None
        artifact = Artifact(folder, Manifest.read(folder))
        return artifact if artifact.manifest.key.digest == key.digest else None

    def published(self, stage: str) -> list[Artifact]:
        """All artifacts of a stage, the newest first."""
        folders = [path for path in self.root.glob(f"{stage}-*") if path.is_dir()]
        folders.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [Artifact(path, Manifest.read(path)) for path in folders]

    @contextmanager
    def lock(self, stage: str) -> Iterator[None]:
        """Hold the stage for this process. The kernel lets go of it when the process ends, however it ends.

        Raises:
            GroundupError: another process holds it; the message says which.
        """
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            file = (self._locks / stage).open("a+", encoding="utf-8")
        except OSError as error:
            raise durable.disk_error(error, self._locks) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise GroundupError(
                    f"{holder} is working on its stage {stage}",
                    where=str(self.root.parent),
                    do="wait for it to end, or give this run a folder of its own with --run",
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def begin(self, key: StageKey) -> tuple[Path, Path]:
        """`(aside, keep)`: a new empty folder to build in, and the one in which an earlier try kept its place."""
        aside, keep = self._building / key.folder, self._building / f"{key.folder}.keep"
        try:
            durable.remove(aside)
            aside.mkdir(parents=True)
            keep.mkdir(exist_ok=True)
        except OSError as error:
            raise durable.disk_error(error, aside) from error
        return aside, keep

    def publish(
        self, key: StageKey, figures: dict[str, Any], measured: Measured, provenance: dict[str, Any]
    ) -> Artifact:
        """Write the manifest of what `begin` made room for and rename it into place."""
        aside, keep, final = self._building / key.folder, self._building / f"{key.folder}.keep", self.root / key.folder
        try:
            manifest = Manifest.of_folder(aside, key, figures, measured, provenance)
            manifest.write(aside)
            durable.remove(final)
            durable.publish(aside, final)
            durable.remove(keep)
        except OSError as error:
            raise durable.disk_error(error, aside) from error
        return Artifact(final, manifest)

    def lineage(self, artifact: Artifact) -> list[Artifact]:
        """The artifact and all that it was made from, nearest first, down to those that read only sources.

        Raises:
            GroundupError: an input is no longer in this run folder.
        """
        by_content = {(one.stage, one.manifest.content): one for one in self._all()}
        found: dict[str, Artifact] = {}
        queue = [artifact]
        while queue:
            current = queue.pop(0)
            if current.path.name in found:
                continue
            found[current.path.name] = current
            for stage, content in current.manifest.key.inputs.items():
                if (stage, content) not in by_content:
                    raise GroundupError(
                        f"its input {stage} {content[:12]} is not in this run folder any more",
                        where=str(current.path),
                        do="run the blueprint again",
                    )
                queue.append(by_content[stage, content])
        return list(found.values())

    def _all(self) -> list[Artifact]:
        folders = [path for path in self.root.glob("*-*") if path.is_dir() and not path.name.startswith(".")]
        return [Artifact(path, Manifest.read(path)) for path in folders]
