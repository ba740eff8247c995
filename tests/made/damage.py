"""Random damage to a folder: a bit flipped, a file cut, deleted, or swapped with another."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

KINDS = ("flip", "cut", "delete", "swap")


class Done(NamedTuple):
    """A damage that was done."""

    kind: str
    paths: tuple[Path, ...]


def damage(files: Sequence[Path], random: Random) -> Done:
    """Damage one of these files, or swap two of them; none ends as it was."""
    kind, path = random.choice(KINDS), random.choice([file for file in files if file.stat().st_size])
    data = path.read_bytes()
    if kind == "flip":
        at = random.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :])
    elif kind == "cut":
        path.write_bytes(data[: random.randrange(len(data))])
    elif kind == "delete":
        path.unlink()
    else:
        other = random.choice([file for file in files if file.read_bytes() != data])
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
        return Done(kind, (path, other))
    return Done(kind, (path,))


class Restored:
    """A folder that is copied once, and brought back after each damage."""

    def __init__(self, folder: Path, copy: Path) -> None:
        self.folder, self.copy = folder, copy
        shutil.copytree(folder, copy, symlinks=True)

    def files(self, *below: str) -> list[Path]:
        """The files of the folder, or of these parts of it; locks are not among them."""
        roots = [self.folder / name for name in below] or [self.folder]
        found = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*")))]
        return [path for path in found if path.is_file() and ".locks" not in path.parts]

    def restore(self, paths: Sequence[Path]) -> None:
        for path in paths:
            shutil.copyfile(self.copy / path.relative_to(self.folder), path)
