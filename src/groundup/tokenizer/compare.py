"""Another tokenizer to compare with, such as GPT-2's, read from files that the user has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groundup.artifacts.outside import Digests
from groundup.tokenizer.configuration import TokenizerConfig

if TYPE_CHECKING:
    from groundup.tokenizer.tokenizer import Tokenizer


def read_other(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`, or of the folder with GPT-2's two files.

    Raises:
        GroundupError: a file is not there, can't be read, or is no byte-level BPE's.
    """
    from groundup.tokenizer.interchange.gpt2 import read_gpt2  # numba; `sources`, which every verb asks, does without
    from groundup.tokenizer.tokenizer import Tokenizer

    return read_gpt2(path) if path.is_dir() else Tokenizer.load(path)


def sources(config: TokenizerConfig, base: Path, cache: Path) -> dict[str, str]:
    """The digests of the files that are compared with, if there are any."""
    if config.compare is None:
        return {}
    digests, path = Digests(cache), base / config.compare.expanduser()
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    found = {f"compare/{one.name}": digests.of_file(one) for one in files}
    digests.save()
    return found
