"""What decides whether a stage's artifact can be used again.

A key is the SHA-256 of the stage's name, its hand-bumped version, the part of its configuration that affects the
result, the digests of its inputs and the seed. Code, library versions, devices and paths are provenance: they are
written in the manifest and are not in the key, so that a changed comment never costs a night of training.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StageKey:
    """Everything that a stage's result depends on."""

    stage: str
    version: int
    configuration: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, str] = field(default_factory=dict)  # upstream stage -> its artifact's content digest
    sources: Mapping[str, str] = field(default_factory=dict)  # file, folder or package from outside -> digest

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the canonical JSON of all parts."""
        canonical = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def folder(self) -> str:
        """`pretrain-1f2e3d4c5b6a`."""
        return folder_name(self.stage, self.digest)

    def differences(self, older: "StageKey") -> Iterator[tuple[str, Any, Any]]:
        """`(what, old, new)` for each value that changed since `older`, named by its path in the blueprint."""
        if self.version != older.version:
            yield f"{self.stage} (version of the stage's code)", older.version, self.version
        if self.seed != older.seed:
            yield "seed", older.seed, self.seed
        yield from _changed(self.stage, older.configuration, self.configuration)
        yield from _changed("input", older.inputs, self.inputs)
        yield from _changed("source", older.sources, self.sources)


def folder_name(stage: str, digest: str) -> str:
    """The name of an artifact's folder, from its stage and its key's digest."""
    return f"{stage}-{digest[:12]}"


def _changed(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            yield from _changed(f"{path}.{name}", old.get(name), new.get(name))
    elif _are_sections(old) and _are_sections(new) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _changed(f"{path}.{index}", before, after)
    elif old != new:
        yield path, old, new


def _are_sections(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
