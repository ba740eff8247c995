"""`make bench NAME=scale`: duplicates among 1, 5 and 20 million documents, out of core.

Fingerprints are made up, for texts of that number would be 60 GB: sets of 24 shingles with their true MinHash keys, of
which a tenth are in clusters that are spread over all parts, each member with another shingle changed (similarity .85
to each other), and a fiftieth are exact copies. The search is the one of curation; every document that it drops is
looked up in what was planted.

The peer is groundup itself at a million documents, the 2 GB that the search must do with, and all planted pairs.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import in_process
from benchmarks.rows import Row, compare
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import write_keys
from groundup.corpus.duplicates.minhash import sign
from groundup.kernels.compilation import Integer, helper, kernel

SIZES = (1_000_000, 5_000_000, 20_000_000)
PART = 500_000  # documents
MEMORY_MB = 2000
SHINGLES = 24
CLUSTERED, EXACT, MEMBERS = 10, 50, 4  # one document in 10, one in 50; members of a cluster
_PEER = "groundup"


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for made-up documents; `data` is a folder with room for them (13 GB), by default a temporary one."""
    sizes = tuple(size // 1000 for size in SIZES) if check else SIZES
    with tempfile.TemporaryDirectory(dir=data) as folder:
        found = {}
        for size in sizes:
            here = str(Path(folder) / str(size))
            in_process(made, here, size, cores=2)
            # One process up to where starting two takes longer, as in curation.
            found[size] = in_process(searched, here, size, 2 if size == sizes[-1] else 1, cores=2)
            remove(here)
    least, most = found[sizes[0]].value, found[sizes[-1]].value
    for size in sizes:
        mine = found[size].value
        case = f"{size / 1e6:g} million documents, {mine['workers']} worker{'s' * (mine['workers'] > 1)}"
        for metric, unit in (("cpu", "s"), ("disk", "MB"), ("shuffled", "MB")):
            ours, peer = (1e6 / one["documents"] * one[metric] for one in (mine, least))
            yield compare(case, f"{metric} per million documents", ours, peer, _PEER, unit, "lower")
        yield compare(case, "wall time", mine["seconds"], mine["cpu"], "processor time", "s", "lower")
        peak = found[size].peak_rss_bytes / 1e6
        yield compare(case, "peak memory of all processes", peak, MEMORY_MB, "allowed", "MB", "lower")
    case = f"{sizes[-1] / 1e6:g} million documents"
    for metric in ("recall of near-duplicates", "recall of exact duplicates", "precision"):
        yield compare(case, metric, most[metric], 1.0, "planted", "", "higher")


def remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder)


def made(folder: str, documents: int) -> int:
    """Write the fingerprints of so many documents, in parts."""
    from groundup.corpus.duplicates.fingerprints import Fingerprints, FingerprintWriter
    from groundup.corpus.duplicates.merit import CandidateRows
    from groundup.corpus.duplicates.minhash import random_functions
    from groundup.corpus.duplicates.search import FINGERPRINTS, ROWS
    from groundup.corpus.finished import part_folder

    config = NearDuplicates()
    for number, first in enumerate(range(0, documents, PART)):
        part = part_folder(Path(folder) / "own", number)
        part.mkdir(parents=True)
        count = min(PART, documents - first)
        found = fingerprints(first, count, documents, config.bands, config.rows, *random_functions(110))
        offsets = np.arange(count + 1) * SHINGLES
        with FingerprintWriter(part / FINGERPRINTS, config) as writer:
            writer.add(Fingerprints(*found, offsets))
        CandidateRows(found[0], 1000 + (found[0][:, 0] % np.uint64(9000)).astype(np.int64)).save(part / ROWS)
    return documents


def searched(folder: str, documents: int, workers: int) -> dict[str, Any]:
    """Search them; what it took, and how much of what was planted it found."""
    from groundup.corpus.duplicates.near import duplicates_of, find
    from groundup.corpus.duplicates.search import DuplicateSearch
    from groundup.corpus.engine import DataEngine
    from groundup.corpus.phases import Phases
    from groundup.progress import Silent

    parts = -(-documents // PART)
    search = DuplicateSearch(Path(folder) / "search", NearDuplicates(), Path(folder) / "own", parts)
    started = time.perf_counter()
    search.prepare()
    find(search, Phases(DataEngine(workers=workers), Path(folder), Silent()))
    seconds = time.perf_counter() - started
    cpu = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own, between = (
        sum(path.stat().st_size for path in (Path(folder) / name).rglob("*") if path.is_file())
        for name in ("own", "search")
    )
    near = exact = right = dropped = 0
    for part in range(parts):
        found = duplicates_of(search, part)
        rows = found.rows + search.starts[part]
        same = cluster_of(rows, documents) == cluster_of(found.kept, documents)
        same &= cluster_of(rows, documents) >= 0
        copies = is_copy(rows)
        twins = copies & (original_of(rows) == original_of(found.kept))
        right += int((same | twins).sum())
        near += int((same & ~copies).sum())
        exact += int((twins | (copies & same)).sum())
        dropped += len(rows)
    planted_near, planted_exact = planted(documents)
    return {
        "documents": documents,
        "workers": workers,
        "seconds": seconds,
        "cpu": cpu,
        "disk": (own + between) / 1e6,
        "shuffled": between / 1e6,
        "recall of near-duplicates": near / max(1, planted_near),
        "recall of exact duplicates": exact / max(1, planted_exact),
        "precision": right / max(1, dropped),
    }


# ---- what is planted ----
#
# Document n is an exact copy of the one before it where n % EXACT == EXACT - 1. Where n % CLUSTERED == 0 it is in a
# cluster: the cluster's members are MEMBERS documents at equal distances over the whole corpus.

Rows = NDArray[np.int64]


def is_copy(rows: Rows) -> NDArray[np.bool_]:
    return rows % EXACT == EXACT - 1


def original_of(rows: Rows) -> Rows:
    return np.where(is_copy(rows), rows - 1, rows)


def cluster_of(rows: Rows, documents: int) -> Rows:
    """The cluster of each document; -1 where it is in none."""
    rows = original_of(rows)
    clusters = max(1, documents // CLUSTERED // MEMBERS)
    within = (rows % CLUSTERED == 0) & (rows // CLUSTERED < clusters * MEMBERS)
    return np.where(within, rows // CLUSTERED % clusters, -1)


def planted(documents: int) -> tuple[int, int]:
    """`(near-duplicates, exact duplicates)` that are to be dropped, one document of each cluster staying."""
    clusters = max(1, documents // CLUSTERED // MEMBERS)
    return clusters * (MEMBERS - 1), documents // EXACT


@kernel
def fingerprints(
    first: int, count: int, documents: int, bands: int, rows: int, multipliers: Any, addends: Any
) -> tuple[Any, Any, Any]:
    """`(digests, band keys, shingles)` of documents from `first` on."""
    digests = np.empty((count, 2), dtype=np.uint64)
    keys = np.empty((count, bands), dtype=np.uint64)
    shingles = np.empty(count * SHINGLES, dtype=np.uint32)
    signature = np.empty(multipliers.size, dtype=np.uint32)
    clusters = max(1, documents // CLUSTERED // MEMBERS)
    for one in range(count):
        row = first + one
        if row % EXACT == EXACT - 1:
            row -= 1
        digests[one, 0], digests[one, 1] = _mixed(np.uint64(2 * row)), _mixed(np.uint64(2 * row + 1))
        base, changed = np.uint64(row) << np.uint64(8), -1
        if row % CLUSTERED == 0 and row // CLUSTERED < clusters * MEMBERS:
            base = np.uint64(row // CLUSTERED % clusters) << np.uint64(8) | np.uint64(1 << 60)
            changed = row // CLUSTERED // clusters  # each member another one
        for at in range(SHINGLES):
            seed = base + np.uint64(at)
            if at == changed:
                seed = np.uint64(row) << np.uint64(8) | np.uint64(1 << 61)
            shingles[one * SHINGLES + at] = np.uint32(_mixed(seed) >> np.uint64(32))
        sign(shingles, one * SHINGLES, (one + 1) * SHINGLES, multipliers, addends, signature)
        write_keys(signature, rows, keys[one])
    return digests, keys, shingles


@helper
def _mixed(value: Integer) -> Integer:
    """SplitMix64 (Steele, Lea, Flood, 2014)."""
    value += np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
