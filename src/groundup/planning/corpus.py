"""How much text there will be: from the stages that have run, else from the files, else from an assumption."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.corpus.configuration import CurateConfig, Files, PythonDocs

PYTHON_DOCS_BYTES = 4_000_000  # the standard library's docstrings and help topics
PACKAGE_BYTES = 1_000_000  # a package's docstrings and long description
KEPT = 0.7  # of the text, after rules and near-duplicates
COMPRESSED = {".gz": 4.0, ".zst": 4.0, ".parquet": 3.0}  # text bytes per file byte
BYTES_PER_TOKEN = {1_000: 2.6, 4_096: 3.3, 16_384: 4.0, 32_768: 4.3, 131_072: 4.6}  # English, by vocabulary
MOST_FILES = 20_000


@dataclass(frozen=True)
class Corpus:
    """Sizes before and after curation."""

    raw_bytes: int
    kept_bytes: int
    tokens: int
    """Train split, once through."""
    assumed: tuple[str, ...] = ()
    """What is not known but assumed, as sentences."""


def corpus_of(
    config: CurateConfig, vocabulary: int, figures: Mapping[str, Mapping[str, Any]], base: Path | None
) -> Corpus:
    """What is known of the corpus.

    Args:
        figures: the figures of stages that have run, by stage; `curate` and `tokens` are looked at.
        base: the blueprint's folder, to add up the sizes of the files that it names; None: they are not looked at.
    """
    per_token = bytes_per_token(vocabulary)
    raw, assumed = _raw_bytes(config, base)
    kept, tokens = round(raw * KEPT), None
    if "bytes" in figures.get("curate", {}):
        kept, assumed = int(figures["curate"]["bytes"]), []
        funnel = figures["curate"].get("funnel") or [{"bytes": kept}]
        raw = max(kept, int(funnel[0]["bytes"]))
    else:
        assumed.append(f"{KEPT:.0%} of the text is kept")
    train = figures.get("tokens", {}).get("train", {})
    if isinstance(train, Mapping) and "tokens" in train:
        tokens = int(train["tokens"])
    else:
        assumed.append(f"{per_token:.1f} bytes a token with a vocabulary of {vocabulary:,}")
    return Corpus(raw, kept, tokens or max(1, round(kept * (1 - config.heldout) / per_token)), tuple(assumed))


def bytes_per_token(vocabulary: int) -> float:
    """Bytes of English that a token of a byte-level BPE stands for, by the nearest size not above the vocabulary."""
    below = [size for size in BYTES_PER_TOKEN if size <= vocabulary]
    return BYTES_PER_TOKEN[max(below, default=min(BYTES_PER_TOKEN))]


def _raw_bytes(config: CurateConfig, base: Path | None) -> tuple[int, list[str]]:
    total, assumed = 0, []
    for source in config.sources:
        if isinstance(source, PythonDocs):
            total += PYTHON_DOCS_BYTES + PACKAGE_BYTES * len(source.packages)
            assumed.append(f"{PYTHON_DOCS_BYTES / 1e6:.0f} MB of Python documentation, 1 MB more for each package")
        elif isinstance(source, Files):
            size = None if base is None else text_bytes(base / source.path.expanduser())
            if size is None:
                assumed.append(f"10 MB of text in {source.path}")
            total += 10_000_000 if size is None else size
    return total, list(dict.fromkeys(assumed))


def text_bytes(path: Path) -> int | None:
    """About how much text is in a file or folder, by the sizes of its files; None where it is not there, or where it
    holds more files than are worth looking at."""
    if path.is_file():
        return round(path.stat().st_size * COMPRESSED.get(path.suffix, 1.0))
    if not path.is_dir():
        return None
    total, files = 0.0, 0
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            files += 1
            if files > MOST_FILES:
                return None
            if file.is_file():
                total += file.stat().st_size * COMPRESSED.get(file.suffix, 1.0)
    return round(total)
