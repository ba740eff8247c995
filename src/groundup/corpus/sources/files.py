"""Files and folders of a person's own: txt, md, html, jsonl and parquet, each plain or ending in .gz or .zst.

    folder -> walk (sorted, recursive) -> one reader per kind -> documents, and what was left out with its reason

A document that can't be read never stops the others and never goes unsaid: it comes out as Dropped with the rule it
broke. Only what concerns the whole source (a missing folder, a wrong column name) is an error.

    guide.md           one document, origin `guide.md`
    talks/rows.jsonl   one per line, origin `talks/rows.jsonl:12`
    all.parquet        one per row, origin `all.parquet:12`, rows counted from 1
"""

import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groundup.corpus.clean import clean, squeeze
from groundup.corpus.documents import EXCERPT_CHARACTERS, Document, Dropped, document_id
from groundup.corpus.facts import first_heading, section_facts
from groundup.corpus.sources.streams import UnreadableError, bounded_lines, decode, open_stream, whole
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent

COMPRESSED = (".gz", ".zst")
KINDS = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_FRONT_MATTER = re.compile(r"\A---\n(?P<fields>.*?)\n(?:---|\.\.\.)(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(?P<title>.+)$", re.MULTILINE)
_UNPACKED_TIMES = 200  # a parquet file that grows by more when unpacked was made to fill disks
_ROWS = 64  # rows of a parquet file in memory at a time


@dataclass(frozen=True)
class Found:
    """One file of the walk."""

    path: Path
    relative: str  # to the folder that is walked, with `/`
    kind: str  # text, markdown, html, jsonl, parquet; empty for one that is left out
    left_out: str = ""  # the rule by which it is


@dataclass(frozen=True)
class Columns:
    """Where jsonl and parquet hold what."""

    text: str = "text"
    title: str = "title"


def locate(path: Path, base: Path) -> Path:
    """`path` from `base`, which must exist.

    Raises:
        GroundupError: it does not.
    """
    full = base / path.expanduser()
    if not full.exists():
        raise GroundupError("no such file or folder", where=str(path), do=f"correct the path; it starts at {base}")
    return full


def walk(root: Path) -> Iterator[Found]:
    """Every file below `root`, or `root` itself, sorted by name; hidden files and folders are passed over."""
    if not root.is_dir():
        yield _found(root, root.name)
        return
    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *folders]):
            path = Path(folder, name)
            if name in folders and not path.is_symlink():
                continue
            if not name.startswith("."):
                # A name that is not UTF-8 could not be written down.
                relative = os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "replace")
                yield Found(path, relative, "", "linked-folder") if name in folders else _found(path, relative)
    for error in closed:
        path = Path(error.filename)
        yield Found(path, path.relative_to(root).as_posix(), "", "unreadable")


def read_files(
    root: Path,
    source: str,
    columns: Columns | None = None,
    licence: str = "",
    max_bytes: int = 8_000_000,
    progress: Progress | None = None,
) -> Iterator[Document | Dropped]:
    """Every document below `root`, in a fixed order, and every one that can't be read.

    Args:
        root: a file or a folder.
        source: the source's name, recorded with each document.
        columns: where jsonl and parquet files hold text and title.
        licence: recorded with each document.
        max_bytes: files, lines and rows above this size are dropped as `too-large`.
        progress: where to show how many files are done.

    Raises:
        GroundupError: nothing to read is there, or a jsonl or parquet file lacks the text column.
    """
    files = list(walk(root))
    readable = [file for file in files if file.kind]
    if not readable:
        raise GroundupError(
            f"nothing to read here: {_census(files)}",
            where=str(root),
            do="give a folder of txt, md, html, jsonl or parquet files (each may end in .gz or .zst)",
        )
    reader = _Reader(source, columns or Columns(), licence, max_bytes)
    with (progress or Silent()).task(f"reading {source}", len(files), "files") as task:
        for file in files:
            yield from reader.read(file)
            task.advance()


def _census(files: list[Found]) -> str:
    """`no file`, or `12 files, of the types .png (9), .pdf (3)`."""
    if not files:
        return "no file"
    types: dict[str, int] = {}
    for file in files:
        suffix = _suffixes(file.path)[0] or "none"
        types[suffix] = types.get(suffix, 0) + 1
    most = sorted(types.items(), key=lambda item: (-item[1], item[0]))[:5]
    return f"{len(files)} files, of the types {', '.join(f'{suffix} ({count})' for suffix, count in most)}"


def _suffixes(path: Path) -> tuple[str, str]:
    """`(".jsonl", ".gz")`; lower case."""
    last = path.suffix.lower()
    if last in COMPRESSED:
        return path.with_suffix("").suffix.lower(), last
    return last, ""


def _found(path: Path, relative: str) -> Found:
    kind = KINDS.get(_suffixes(path)[0], "")
    if not kind:
        return Found(path, relative, "", "unsupported-type")
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return Found(path, relative, kind)  # a broken link: reading it tells why
    return Found(path, relative, kind) if regular else Found(path, relative, "", "not-a-file")


class _Reader:
    """Reads files of every kind into documents of one source."""

    def __init__(self, source: str, columns: Columns, licence: str, max_bytes: int) -> None:
        self.source, self.columns, self.licence, self.max_bytes = source, columns, licence, max_bytes
        self._kinds: dict[str, Callable[[Found], Iterator[Document | Dropped]]] = {
            "text": self._one,
            "markdown": self._one,
            "html": self._one,
            "jsonl": self._jsonl,
            "parquet": self._parquet,
        }

    def read(self, file: Found) -> Iterator[Document | Dropped]:
        if not file.kind:
            yield self._dropped(file.relative, UnreadableError(file.left_out))
            return
        try:
            yield from self._kinds[file.kind](file)
        except UnreadableError as error:
            yield self._dropped(file.relative, error)

    def _one(self, file: Found) -> Iterator[Document | Dropped]:
        """A file that is one document."""
        with open_stream(file.path) as stream:
            data = whole(stream, self.max_bytes)
        try:
            text = decode(data)
        except UnreadableError as error:
            yield self._dropped(file.relative, error, data)
            return
        stem = Path(file.relative).name.split(".")[0] or file.relative
        name = squeeze(re.sub(r"[_-]+", " ", stem))
        if file.kind == "html":
            title, text = extract_html(text)
            yield self._document(text, title or name, file.relative)
        elif file.kind == "markdown":
            title, text = split_front_matter(clean(text))
            yield self._document(text, title or first_heading(text) or name, file.relative)
        else:
            yield self._document(text, name, file.relative)

    def _jsonl(self, file: Found) -> Iterator[Document | Dropped]:
        with open_stream(file.path) as stream:
            for number, line in bounded_lines(stream, self.max_bytes):
                origin = f"{file.relative}:{number}"
                if isinstance(line, UnreadableError):
                    yield self._dropped(origin, line)
                    continue
                try:
                    row = _json_object(decode(line))
                except UnreadableError as error:
                    yield self._dropped(origin, error, line)
                    continue
                if self.columns.text not in row:
                    raise self._no_column(f"{file.path}:{number}", list(row))
                yield self._row(row, origin)

    def _parquet(self, file: Found) -> Iterator[Document | Dropped]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with _seekable(file.path) as path:
            try:
                with pq.ParquetFile(path) as table:
                    names = table.schema_arrow.names
                    if self.columns.text not in names:
                        raise self._no_column(str(file.path), names)
                    wanted = [name for name in (self.columns.text, self.columns.title) if name in names]
                    number = 0
                    for batch in table.iter_batches(batch_size=_ROWS, columns=wanted):
                        for row in batch.to_pylist():
                            number += 1
                            yield self._row(row, f"{file.relative}:{number}")
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
                raise UnreadableError("corrupt", str(error)) from error
            except OSError as error:
                raise UnreadableError("corrupt", error.strerror or str(error)) from error

    def _row(self, row: dict[str, Any], origin: str) -> Document | Dropped:
        text, title = row[self.columns.text], row.get(self.columns.title)
        if not isinstance(text, str):
            return self._dropped(origin, UnreadableError("no-text", f"the column {self.columns.text} holds no string"))
        if len(text) > self.max_bytes:
            return self._dropped(origin, UnreadableError("too-large", "", float(len(text)), float(self.max_bytes)))
        return self._document(text, title if isinstance(title, str) else "", origin)

    def _document(self, text: str, title: str, origin: str) -> Document | Dropped:
        text, title = clean(text), squeeze(clean(title))
        if not text:
            return replace(self._dropped(origin, UnreadableError("no-text")), title=title)
        facts = section_facts(text, title)
        return Document(document_id(text), text, title, self.source, origin, self.licence, facts=facts)

    def _dropped(self, origin: str, error: UnreadableError, data: bytes = b"") -> Dropped:
        start = clean(data[:EXCERPT_CHARACTERS].decode("utf-8", "replace"))
        return Dropped("", "", self.source, origin, error.rule, error.value, error.threshold, "", start or error.detail)

    def _no_column(self, where: str, names: list[str]) -> GroundupError:
        return GroundupError(
            f"there is no column {self.columns.text!r}; the columns are {', '.join(names) or 'none'}",
            where=where,
            do="name the one that holds the text with `text:` in this source",
        )


@contextmanager
def _seekable(path: Path) -> Iterator[Path]:
    """`path` itself, or its uncompressed bytes in a temporary file: parquet is read from its end."""
    if path.suffix.lower() not in COMPRESSED:
        yield path
        return
    limit = _UNPACKED_TIMES * path.stat().st_size
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        with open_stream(path) as stream:
            size = 0
            while chunk := stream.read(1 << 20):
                size += file.write(chunk)
                if size > limit:
                    raise UnreadableError("too-large", value=float(size), threshold=float(limit))
        file.flush()
        yield Path(file.name)


def extract_html(page: str) -> tuple[str, str]:
    """`(title, main text)` of a page; the text is markdown with `#` headings, without menus and boilerplate.

    Raises:
        UnreadableError: `no-text`, where nothing is left.
    """
    import trafilatura

    tree = trafilatura.load_html(page)
    if tree is None:
        raise UnreadableError("no-text", "not HTML")
    title = squeeze(tree.findtext(".//title") or "")
    text = trafilatura.extract(tree, output_format="markdown", include_comments=False, include_formatting=True)
    if not text:
        raise UnreadableError("no-text", "no main text was found in the page")
    return title, text


def split_front_matter(text: str) -> tuple[str, str]:
    """`(title, rest)` of a markdown text that may begin with YAML front matter between `---` lines."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return "", text
    title = _FRONT_TITLE.search(match["fields"])
    return (title["title"].strip().strip("\"'") if title else ""), text[match.end() :]


def _json_object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("bad-json", str(error)) from error
    if not isinstance(row, dict):
        raise UnreadableError("bad-json", f"a line holds a {type(row).__name__}, not an object")
    return row
