"""The `tokens:` section."""

from typing import ClassVar

from pydantic import Field

from groundup.section import Section


class TokensConfig(Section):
    """The documents as one memory-mapped row of token ids per split."""

    incidental: ClassVar[frozenset[str]] = frozenset({"workers"})

    workers: int | None = Field(default=None, ge=1)
    """Processes that encode; null: one for each core, for little text the threads of one. The result is the same."""
    part_mib: int | None = Field(default=None, ge=4, multiple_of=4)
    """Largest file in MiB, a multiple of 4: for file systems and object stores that limit it. By default a split is one
    file, whatever its size. Training sees no difference."""
