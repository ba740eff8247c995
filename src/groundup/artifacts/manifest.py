"""An artifact's own account of itself: `manifest.json`."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groundup.artifacts.durable import sha256_of, write_text
from groundup.artifacts.key import StageKey
from groundup.errors import GroundupError

MANIFEST = "manifest.json"
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
        write_text(folder / MANIFEST, json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises GroundupError where the manifest is missing or unreadable."""
        try:
            raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            return cls(
                StageKey(**raw["key"]), raw["files"], raw["figures"], Measured(**raw["measured"]), raw["provenance"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GroundupError(
                f"its manifest can't be read ({error})", where=str(folder), do="remove that folder and run again"
            ) from error


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

    def verify(self) -> None:
        """Check every file against its digest; raises GroundupError naming the first that differs."""
        for name, digest in self.manifest.files.items():
            path = self.path / name
            if not path.is_file() or sha256_of(path) != digest:
                state = "has changed since it was published" if path.is_file() else "is missing"
                raise GroundupError(
                    f"{state}", where=str(path), do=f"remove {self.path} and run again: the stage is then rebuilt"
                )


def _is_record(name: str) -> bool:
    return name.startswith(f"{RECORDS}/")
