"""Data sets on the Hugging Face hub: which files one has, and where these are.

    hf://datasets/OWNER/NAME/data/*.parquet             a pattern; ** crosses folders
    hf://datasets/OWNER/NAME@REVISION/data              a folder, of a branch, tag or commit

Two calls of the hub's API are used: the listing of a data set's files and the address of each. HF_ENDPOINT names
another hub than huggingface.co; HF_TOKEN, or the file that `hf auth login` wrote, a token for private data sets.
"""

import json
import os
import re
import urllib.parse
from pathlib import Path
from typing import Any, NamedTuple

from groundup.corpus.sources.web import WebFileError, asked

SCHEME = "hf://"
_FORM = "hf://datasets/OWNER/NAME/PATH"


class HubAddress(NamedTuple):
    """A file, a folder or a pattern in a data set."""

    dataset: str  # OWNER/NAME
    revision: str
    path: str


def parsed(address: str) -> HubAddress:
    """The parts of an address.

    Raises:
        WebFileError: it has another form.
    """
    match = re.fullmatch(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.*))?", address)
    if match is None:
        raise WebFileError("is no address of a data set's files", address, f"write {_FORM}")
    return HubAddress(match[1], match[2] or "main", (match[3] or "").strip("/"))


def listed(address: str) -> list[tuple[str, int]]:
    """`(address, bytes)` of each file, sorted.

    Raises:
        WebFileError: the hub can't be reached, or has no such data set or file.
    """
    dataset, revision, path = parsed(address)
    pattern = _pattern(path)
    fixed = re.split(r"[*?\[]", path)[0]
    folder = (fixed.rpartition("/")[0] if fixed != path else "").strip("/")
    url: str | None = f"{_endpoint()}/api/datasets/{dataset}/tree/{urllib.parse.quote(revision, safe='')}"
    if folder:
        url = f"{url}/{urllib.parse.quote(folder)}"
    url = f"{url}?recursive=true"
    found: list[tuple[str, int]] = []
    at = "" if revision == "main" else f"@{revision}"
    while url:
        rows, url = asked(url, address, credentials(), "GET", _page)
        for row in rows:
            if row.get("type") == "file" and pattern.fullmatch(str(row["path"])):
                found.append((f"hf://datasets/{dataset}{at}/{row['path']}", int(row.get("size") or 0)))
    if not found:
        raise WebFileError("can't be read (nothing is there)", address, f"check the address, {_FORM}", 404)
    return sorted(found)


def url_of(address: str) -> str:
    """Where a file is."""
    dataset, revision, path = parsed(address)
    quoted = f"{urllib.parse.quote(revision, safe='')}/{urllib.parse.quote(path)}"
    return f"{_endpoint()}/datasets/{dataset}/resolve/{quoted}"


def credentials() -> dict[str, str]:
    """The header for whoever has a token."""
    token = os.environ.get("HF_TOKEN", "")
    if not token:
        home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
        try:
            token = (home / "token").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            token = ""
    return {"Authorization": f"Bearer {token}"} if token else {}


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _page(answer: Any) -> tuple[list[dict[str, Any]], str | None]:
    """`(rows, the address of the next page)`"""
    rows = json.loads(answer.read())
    next_page = re.search(r'<([^>]+)>;\s*rel="next"', answer.headers["Link"] or "")
    return rows, next_page[1] if next_page else None


def _pattern(path: str) -> re.Pattern[str]:
    """Of the files that a path means: itself, all below it, or what fits `*`, `?` and `**`."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", path)
    kinds = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    written = "".join(kinds.get(part, re.escape(part)) for part in parts)
    below = "(?:/.*)?" if path and not re.search(r"[*?]", path) else ""
    return re.compile(written + below if path else ".*", re.DOTALL)
