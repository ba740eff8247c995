"""An artifact's own account of itself: `manifest.json`."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groundup.artifacts.durable import sha256_of
from groundup.artifacts.json_files import read_sealed, write_sealed
from groundup.artifacts.key import StageKey
from groundup.errors import GroundupError

MANIFEST = "manifest.json"
FORMAT = "groundup artifact 1"
RECORDS = "records"  # files below it record how the stage went (times, curves): checked, but not part of the result


@dataclass(frozen=True)
class Measured:
    """What a stage cost."""

    seconds: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class Manifest:
    """Digests, key, figures and provenance of one artifact."""

    key: StageKey
    files: dict[str, str]  # path within the artifact -> SHA-256
    figures: dict[str, Any]  # what the stage says of its result
    measured: Measured
    provenance: dict[str, Any] = field(default_factory=dict)  # versions, threads, device, times

    @property
    def content(self) -> str:
        """SHA-256 over the result's files without the records: equal results have equal digests."""
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self.files.items()) if not _is_record(name)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @classmethod
    def of_folder(
        cls, folder: Path, key: StageKey, figures: dict[str, Any], measured: Measured, provenance: dict[str, Any]
    ) -> "Manifest":
        """Digest every file in `folder`."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
        files = {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
        return cls(key, files, figures, measured, provenance)

    def write(self, folder: Path) -> None:
        write_sealed(folder / MANIFEST, FORMAT, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises GroundupError where the manifest is missing, unreadable, changed, or of another version."""
        path, do = folder / MANIFEST, f"remove {folder} and run again: the stage is then rebuilt"
        raw = read_sealed(path, FORMAT, do)
        try:
            return cls(
                StageKey(**raw["key"]), raw["files"], raw["figures"], Measured(**raw["measured"]), raw["provenance"]
            )
        except (KeyError, TypeError) as error:
            raise GroundupError(f"is no manifest ({error})", where=str(path), do=do) from error


@dataclass(frozen=True)
class Artifact:
    """A published folder."""

    path: Path
    manifest: Manifest

    @property
    def stage(self) -> str:
        return self.manifest.key.stage

    @property
    def figures(self) -> dict[str, Any]:
        return self.manifest.figures

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists; raises KeyError for one it does not."""
        if name not in self.manifest.files:
            raise KeyError(f"{self.path.name} has no {name}")
        return self.path / name

    def folder(self, name: str) -> Path:
        """The path of a folder in which the manifest lists files; raises KeyError for one it does not."""
        if not any(file.startswith(f"{name}/") for file in self.manifest.files):
            raise KeyError(f"{self.path.name} has no folder {name}")
        return self.path / name

    def damage(self, digest_of: Callable[[Path], str] = sha256_of) -> Iterator[tuple[Path, str]]:
        """Every file that is not as it was published, and what is wrong with it.

        Args:
            digest_of: how a file's SHA-256 is found; `Digests.of_file` reads only what has changed.
        """
        for name, digest in self.manifest.files.items():
            path = self.path / name
            if not path.is_file():
                yield path, "is missing"
            elif digest_of(path) != digest:
                yield path, "has changed since it was published"

    def verify(self, digest_of: Callable[[Path], str] = sha256_of) -> None:
        """Check every file against its digest; raises GroundupError naming the first that differs."""
        for path, what in self.damage(digest_of):
            do = f"remove {self.path} and run again: it is then rebuilt; `groundup verify` checks the rest"
            raise GroundupError(what, where=str(path), do=do)


def check_copy(folder: Path) -> None:
    """Check every byte of a folder that is a copy of an artifact; one without a manifest is not ours to check.

    Raises:
        GroundupError: a file has changed or is missing.
    """
    if (folder / MANIFEST).is_file():
        for path, what in Artifact(folder, Manifest.read(folder)).damage():
            raise GroundupError(what, where=str(path), do="run the blueprint again: the copy is then repaired")


def _is_record(name: str) -> bool:
    return name.startswith(f"{RECORDS}/")
