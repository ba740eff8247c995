"""A benchmark's results: one row for each comparison with a peer; a ratio above 1 is better for us."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from benchmarks.measure import Failure
from groundup.artifacts.durable import write_text

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Row:
    """Our figure and a peer's, from the same run on the same data."""

    case: str  # what was done: "train 32,768 tokens on 34 MB"
    metric: str  # what was measured: "speed"
    ours: float
    peer: float | None  # None where the peer is missing or failed
    peer_name: str
    peer_version: str
    ratio: float | None  # above 1 is better for us
    unit: str
    failure: str = ""  # why the peer has no figure

    def as_json(self) -> dict[str, Any]:
        """The row's fields; `failure` only where there is one."""
        return {name: value for name, value in asdict(self).items() if name != "failure" or value}


def compare(
    case: str, metric: str, ours: float, peer: float | Failure, peer_name: str, unit: str, better: Better
) -> Row:
    """A row; the peer's version is that of the installed package `peer_name` ("" where it is no package).

    Args:
        better: whether a higher figure is the better one (MB/s) or a lower one (seconds, bytes).
    """
    if isinstance(peer, Failure):
        return Row(case, metric, ours, None, peer_name, version_of(peer_name), None, unit, peer.reason)
    ratio = 1.0 if ours == peer else ours / peer if better == "higher" else peer / ours
    return Row(case, metric, ours, peer, peer_name, version_of(peer_name), ratio, unit)


def version_of(package: str) -> str:
    """The installed version, "" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def write_json(rows: Iterable[Row], path: Path) -> None:
    """The rows as a JSON list."""
    write_text(path, json.dumps([row.as_json() for row in rows], indent=1, allow_nan=False) + "\n")
