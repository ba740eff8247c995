"""How much text there will be: from the stages that have run, else from the files, else from an assumption."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.corpus.configuration import CurateConfig, Files, PythonDocs, Remote

PYTHON_DOCS_BYTES = 4_000_000  # the standard library's docstrings and help topics
PACKAGE_BYTES = 190_000  # a package's docstrings and long description, about
KEPT = {"docs": 0.95, "text": 0.9, "pages": 0.7}  # of the text, after rules and near-duplicates
COMPRESSED = {".gz": 4.0, ".zst": 4.0, ".bz2": 4.0, ".xz": 4.0, ".zip": 3.0, ".parquet": 3.0}  # bytes per file byte
PAGES = frozenset({"html", "xml", "warc"})  # formats that text must be extracted from
PAGE_TEXT = 0.15  # of their bytes are text
BYTES_PER_TOKEN = {1_000: 2.6, 4_096: 3.3, 16_384: 4.0, 32_768: 4.3, 131_072: 4.6}  # English, by vocabulary
MAX_FILES = 20_000


@dataclass(frozen=True)
class Raw:
    """What curation has to read, in bytes."""

    docs: int
    """Of this machine's Python documentation."""
    text: int
    pages: int
    """HTML and XML."""

    @property
    def text_bytes(self) -> int:
        """Of text that is in it."""
        return round(self.docs + self.text + PAGE_TEXT * self.pages)

    @property
    def kept_bytes(self) -> int:
        """Of that, what may be left after curation."""
        return round(KEPT["docs"] * self.docs + KEPT["text"] * self.text + KEPT["pages"] * PAGE_TEXT * self.pages)


@dataclass(frozen=True)
class Corpus:
    """Sizes before and after curation."""

    raw: Raw
    raw_bytes: int
    """Of text, before any rule."""
    kept_bytes: int
    tokens: int
    """Train split, once through."""
    assumed: tuple[str, ...] = ()
    """What is not known but assumed, as sentences."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Tokens of each source in the train split, once they have been counted."""


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
    raw_bytes = raw.text_bytes
    kept, tokens = raw.kept_bytes, None
    if "bytes" in figures.get("curate", {}):
        kept, assumed = int(figures["curate"]["bytes"]), []
        funnel = figures["curate"].get("funnel") or [{"bytes": kept}]
        raw_bytes = max(kept, int(funnel[0]["bytes"]))
    else:
        assumed.append(f"{kept / max(1, raw_bytes):.0%} of the text is kept")
    train = figures.get("tokens", {}).get("train", {})
    if isinstance(train, Mapping) and "tokens" in train:
        tokens = int(train["tokens"])
    else:
        assumed.append(f"{per_token:.1f} bytes a token with a vocabulary of {vocabulary:,}")
    sources = {name: int(one["tokens"]) for name, one in (train.get("sources") or {}).items()}
    tokens = tokens or max(1, round(kept * (1 - config.heldout) / per_token))
    return Corpus(raw, raw_bytes, kept, tokens, tuple(assumed), sources)


def bytes_per_token(vocabulary: int) -> float:
    """Bytes of English per token of a byte-level BPE, by the nearest size not above the vocabulary."""
    below = [size for size in BYTES_PER_TOKEN if size <= vocabulary]
    return BYTES_PER_TOKEN[max(below, default=min(BYTES_PER_TOKEN))]


def _raw_bytes(config: CurateConfig, base: Path | None) -> tuple[Raw, list[str]]:
    docs = text = pages = 0
    assumed = []
    for source in config.sources:
        if isinstance(source, PythonDocs):
            docs += PYTHON_DOCS_BYTES + PACKAGE_BYTES * len(source.packages)
            assumed.append(f"{PYTHON_DOCS_BYTES / 1e6:.0f} MB of Python documentation, .2 MB more for each package")
            continue
        size, where = None, source.address if isinstance(source, Remote) else source.path
        if base is not None and isinstance(source, Files):
            size = text_bytes(base / source.path.expanduser(), source.follow_links)
        if size is None:
            empty = base is not None and isinstance(source, Files) and _is_empty(base / source.path.expanduser())
            assumed.append(f"10 MB of text in {where}" + (", which is empty now" if empty else ""))
            size = 10_000_000, 0
        text, pages = text + size[0], pages + size[1]
    return Raw(docs, text, pages), list(dict.fromkeys(assumed))


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def text_bytes(path: Path, follow_links: bool = False) -> tuple[int, int] | None:
    """About how much there is to read in a file, a folder or what a pattern names, by the sizes of the files.

    Returns:
        `(bytes of text, bytes of pages that text must be extracted from)`; None where nothing is there, or more files
        than are worth looking at.
    """
    from groundup.corpus.sources.walk import walk

    text, pages, files, there = 0.0, 0.0, 0, False
    for file in walk(path, follow_links=follow_links):
        files += 1
        if files > MAX_FILES:
            return None
        if not file.path.is_file():
            continue
        there = True
        size = file.path.stat().st_size * COMPRESSED.get(file.path.suffix, 1.0)
        if file.format in PAGES:
            pages += size
        elif file.format:
            text += size
    return (round(text), round(pages)) if there else None
