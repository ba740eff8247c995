"""The artifacts of one run: where they lie, who is building which, and what each was made from."""

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from groundup.artifacts import durable
from groundup.artifacts.json_files import OtherFormatError
from groundup.artifacts.key import StageKey, folder_name
from groundup.artifacts.manifest import Artifact, Manifest, Measured
from groundup.errors import GroundupError

RUN = "run"  # the lock that a whole run holds


class Store:
    """`<run>/artifacts`: `<stage>-<key>/` for each published artifact, `.building/` for those under way.

    Building is `with store.lock(stage): aside, keep = store.begin(key); ...; store.publish(key, aside, ...)`.
    """

    def __init__(self, run: Path) -> None:
        self.root = run / "artifacts"
        self._building = self.root / ".building"
        self._locks = self.root / ".locks"

    def find(self, key: StageKey) -> Artifact | None:
        """The artifact published under `key`, if there is one that this version reads."""
        folder = self.root / key.folder
        artifacts = self._read([folder] if folder.is_dir() else [])
        return artifacts[0] if artifacts and artifacts[0].manifest.key.digest == key.digest else None

    def published(self, stage: str) -> list[Artifact]:
        """All artifacts of a stage, the newest first."""
        folders = [path for path in self.root.glob(f"{stage}-*") if path.is_dir()]
        folders.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return self._read(folders)

    @staticmethod
    def _read(folders: Sequence[Path]) -> list[Artifact]:
        """The artifacts in these folders; those that another version wrote are as good as not there."""
        found = []
        for folder in folders:
            with suppress(OtherFormatError):
                found.append(Artifact(folder, Manifest.read(folder)))
        return found

    @contextmanager
    def lock(self, name: str, wait: float = 0.0) -> Iterator[None]:
        """Hold a stage (or `run`, the whole folder) for this process. The kernel lets go when the process ends.

        Args:
            wait: seconds in which the present holder may let go before that is an error.

        Raises:
            GroundupError: another process holds it; the message says which.
        """
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            file = (self._locks / name).open("a+", encoding="utf-8")
        except OSError as error:
            raise durable.disk_error(error, self._locks) from error
        with file:
            until = time.monotonic() + wait
            while not _take(file):
                if time.monotonic() >= until:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                    raise GroundupError(
                        f"{holder} is working on {'this run' if name == RUN else f'its stage {name}'}",
                        where=str(self.root.parent),
                        do="wait for it to end, or give this run a folder of its own with --run",
                    )
                time.sleep(0.05)
            try:
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}")
                file.flush()
            except OSError as error:
                raise durable.disk_error(error, self._locks) from error
            yield

    def held(self, name: str) -> bool:
        """Whether some process holds the lock `name` now."""
        path = self._locks / name
        if not path.exists():
            return False
        with path.open("r", encoding="utf-8") as file:
            return not _take(file)

    def begin(self, key: StageKey) -> tuple[Path, Path]:
        """`(aside, keep)`: a new empty folder to build in, and the one with the checkpoints of an earlier try."""
        aside, keep = self._building / key.folder, self.kept(key)
        try:
            durable.remove(aside)
            aside.mkdir(parents=True)
            keep.mkdir(exist_ok=True)
        except OSError as error:
            raise durable.disk_error(error, aside) from error
        return aside, keep

    def kept(self, key: StageKey) -> Path:
        """Where the stage under `key` keeps checkpoints for the next try."""
        return self._building / f"{key.folder}.keep"

    def kept_under(self, stage: str, digest: str) -> Path:
        """The same, where only the key's digest is known."""
        return self._building / f"{folder_name(stage, digest)}.keep"

    def publish(
        self, key: StageKey, figures: dict[str, Any], measured: Measured, provenance: dict[str, Any]
    ) -> Artifact:
        """Write the manifest of what `begin` made room for and publish it."""
        aside, keep, final = self._building / key.folder, self.kept(key), self.root / key.folder
        try:
            manifest = Manifest.of_folder(aside, key, figures, measured, provenance)
            manifest.write(aside)
            durable.remove(final)
            durable.publish(aside, final)
            durable.remove(keep)
        except OSError as error:
            raise durable.disk_error(error, aside) from error
        return Artifact(final, manifest)

    def discard(self, key: StageKey, keep: bool = True) -> None:
        """Remove what was being built under `key`; with `keep=False` also its checkpoints."""
        durable.remove(self._building / key.folder)
        if not keep:
            durable.remove(self.kept(key))

    def sweep(self) -> None:
        """Remove what kills left: folders half removed, and half-built ones that no process works on.

        What stages kept for their next try stays.
        """
        for folder in (self.root, self._building):
            for path in folder.glob(f"{durable.DOOMED}*"):
                shutil.rmtree(path, ignore_errors=True)
        for path in self._building.glob("*-*"):
            if path.suffix != ".keep" and not self.held(path.name.rpartition("-")[0]):
                durable.remove(path)

    def unused(self, used: Collection[str]) -> tuple[list[Path], list[Path]]:
        """Artifacts whose folder name is not in `used`, with what stages left empty; what interrupted stages resume
        from."""
        kept = sorted(self._building.glob("*.keep"))
        unused = [one.path for one in self.everything() if one.path.name not in used]
        empty = [path for path in kept if not any(path.iterdir())]
        return [*unused, *empty], [path for path in kept if path not in empty]

    def lineage(self, artifact: Artifact) -> list[Artifact]:
        """The artifact and all that it was made from, nearest first, down to those that read only sources.

        Raises:
            GroundupError: an input is no longer in this run folder.
        """
        by_content = {(one.stage, one.manifest.content): one for one in self.everything()}
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

    def everything(self) -> list[Artifact]:
        """All published artifacts, by name."""
        folders = [path for path in sorted(self.root.glob("*-*")) if path.is_dir() and not path.name.startswith(".")]
        return self._read(folders)


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
