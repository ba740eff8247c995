"""Every byte of a run against the digests that were written with it: what `groundup verify` reports.

    run.json              sealed by its own digest; it names the artifacts of the newest run
    blueprint.yaml ...    their digests are in run.json; to metrics.jsonl, events may have been appended since
    artifacts/<name>/     a manifest, sealed by its own digest, with the digests of the files
    model/ report/        the same as the artifacts that they are copies of

What a run only remembers to be faster (`artifacts/.digests`) is checked too. Locks and half-built artifacts are not.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from groundup.artifacts import Artifact, Manifest
from groundup.artifacts.json_files import read_sealed
from groundup.artifacts.manifest import MANIFEST
from groundup.artifacts.outside import CACHE
from groundup.artifacts.outside import FORMAT as DIGESTS_FORMAT
from groundup.errors import GroundupError
from groundup.pipeline.folder import RunFolder
from groundup.progress import Progress, Silent

EVENTS = "metrics.jsonl"
AGAIN = "run the blueprint again: it is then repaired"


@dataclass(frozen=True)
class Damage:
    """A file or folder that is not as it was written."""

    path: Path
    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}; {self.do}"


def verify(folder: RunFolder, progress: Progress | None = None) -> list[Damage]:
    """All damage of a run, in the order of the list above; none means that every byte is as it was written.

    Raises:
        GroundupError: the folder is no run's.
    """
    if not (folder.path / "artifacts").is_dir() and not (folder.path / "run.json").is_file():
        raise GroundupError("is no run folder", where=str(folder.path), do="name one that `groundup run` made")
    published = sorted(path for path in folder.store.root.glob("*") if not path.name.startswith("."))
    with (progress or Silent()).task("verify", len(published), "artifacts") as task:
        found = list(_run_files(folder))
        for path in published:
            found += _artifact(path)
            task.advance()
        found += _copies(folder)
    return found


def _run_files(folder: RunFolder) -> Iterator[Damage]:
    """`run.json`, and what it seals and names."""
    try:
        seals, remembered = folder.seals(), folder.remembered()
    except GroundupError as error:
        yield _of(error, folder.path / "run.json")
        return
    assert remembered is not None
    for name, seal in seals.items():
        path = folder.path / name
        data = path.read_bytes() if path.is_file() else None
        if data is None:
            yield Damage(path, "is missing", AGAIN)
        elif hashlib.sha256(data[: seal.bytes]).hexdigest() != seal.sha256:
            yield Damage(path, "has changed since the run wrote it", AGAIN)
        elif len(data) > seal.bytes and (name != EVENTS or not _are_rows(data[seal.bytes :])):
            yield Damage(path, "has been added to since the run wrote it", AGAIN)
    for stage, name in remembered.stages.items():
        if not (folder.store.root / name).is_dir():
            yield Damage(folder.store.root / name, f"the artifact of {stage} is missing", AGAIN)
    if folder.cache.exists():
        try:
            read_sealed(folder.cache / CACHE, DIGESTS_FORMAT, AGAIN)
        except GroundupError as error:
            yield _of(error, folder.cache / CACHE)


def _are_rows(data: bytes) -> bool:
    """Whether these are events, each a line of JSON."""
    try:
        return all(isinstance(json.loads(line), dict) for line in data.splitlines())
    except ValueError:
        return False


def _artifact(path: Path) -> Iterator[Damage]:
    """What differs in one artifact's folder."""
    do = f"remove {path} and run the blueprint again: it is then rebuilt"
    if not path.is_dir():
        yield Damage(path, "is no artifact", "remove it")
        return
    try:
        artifact = Artifact(path, Manifest.read(path))
    except GroundupError as error:
        yield _of(error, path / MANIFEST)
        return
    if artifact.manifest.key.folder != path.name:
        yield Damage(path, f"is the artifact {artifact.manifest.key.folder} under another name", do)
    for file, what in artifact.damage():
        yield Damage(file, what, do)
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if not file.is_dir() and name not in artifact.manifest.files and name != MANIFEST:
            yield Damage(file, "is not of this artifact", "remove it")


def _copies(folder: RunFolder) -> Iterator[Damage]:
    """`model/` and `report/` against the artifacts that they are copies of."""
    from groundup.pipeline.graph import DELIVERED

    try:
        remembered = folder.remembered()
    except GroundupError:
        remembered = None  # reported already; what the copies say of themselves is still checked
    stages = remembered.stages if remembered else {}
    for name, stage in DELIVERED.items():
        copy, original = folder.path / name, folder.store.root / stages.get(stage, "")
        if not copy.is_dir():
            if stage in stages:
                yield Damage(copy, "is missing", AGAIN)
            continue
        try:
            artifact = Artifact(copy, Manifest.read(copy))
        except GroundupError as error:
            yield Damage(copy / MANIFEST, error.what, AGAIN)
            continue
        known = stage in stages and (original / MANIFEST).is_file()
        if known and (copy / MANIFEST).read_bytes() != (original / MANIFEST).read_bytes():
            yield Damage(copy, f"is a copy of another artifact than {original.name}", AGAIN)
        for file, what in artifact.damage():
            yield Damage(file, what, AGAIN)


def _of(error: GroundupError, path: Path) -> Damage:
    return Damage(Path(error.where or path), error.what, error.do or AGAIN)
