"""Documents with an equal band key: each is linked to the first that has it.

for each part                the keys of its documents, one band after the other, sent to their ranges; without
                             those that have the same bytes as others, which are sent to the part of the others
for each range of keys       band by band, documents with equal keys, linked to the first of them
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.components import LINK, of_node
from groundup.corpus.duplicates.exact import PAIR, same_as
from groundup.corpus.duplicates.merit import RowNumbers
from groundup.corpus.duplicates.runs import Records, RunWriter, joined, read_run, records_of, spread, write_run
from groundup.corpus.duplicates.search import DuplicateSearch, SearchTask

KEYS, GROUPS = "keys", "groups"  # phases
SAME_RUN, LINKS_RUN = "same.run", "links.run"
_KEY = np.dtype([("key", "<u8"), ("document", "<u4")])
_KEYS_RUN = "keys.run"


def send_keys(task: SearchTask) -> Figures:
    """Of one part."""
    return task.run(lambda folder: _send(task.search, task.number, folder))


def _send(search: DuplicateSearch, part: int, folder: Path) -> Figures:
    file, ranges, bands = search.fingerprints(part), search.ranges, search.config.bands
    same = same_as(search, part)
    others = np.flatnonzero(same >= 0)
    pairs = records_of(PAIR, row=others + search.starts[part], kept=same[others])
    write_run(folder / SAME_RUN, pairs, search.part_of(pairs["kept"]), search.parts)
    documents = np.flatnonzero(search.alive(part) & (same < 0) & (np.diff(file.offsets()) > 0))
    with RunWriter(folder / _KEYS_RUN, _KEY, bands * ranges) as writer:
        for band in range(bands):
            keys = file.band(band)[documents]
            writer.write(records_of(_KEY, key=keys, document=documents), band * ranges + spread(keys, ranges))
    return {}


def link_equal_keys(task: SearchTask) -> Figures:
    """Of one range of the keys of every band."""
    return task.run(lambda folder: _link(task.search, task.number, folder))


def _link(search: DuplicateSearch, number: int, folder: Path) -> Figures:
    files = search.files(KEYS, search.parts, _KEYS_RUN)
    links = np.zeros(0, LINK)
    for band in range(search.config.bands):
        parts = [read_run(path, band * search.ranges + number, _KEY) for path in files]
        keys = np.concatenate([part["key"] for part in parts])
        rows = np.concatenate([part["document"] + start for part, start in zip(parts, search.starts, strict=False)])
        # Most pairs with one key in common have several.
        links = np.unique(joined([links, _links(keys, rows, search.before)], LINK))
    write_run(folder / LINKS_RUN, links, of_node(links["node"], search.ranges), search.ranges)
    return {}


def _links(keys: NDArray[np.uint64], rows: RowNumbers, before: int) -> Records:
    """From every document to the first with the same key; groups of documents of earlier corpora alone are none."""
    by_key = np.argsort(keys)
    keys, rows = keys[by_key], rows[by_key]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(starts, append=len(keys))
    several = np.flatnonzero(sizes > 1)
    if not len(several):
        return np.zeros(0, LINK)
    first, last = np.minimum.reduceat(rows, starts)[several], np.maximum.reduceat(rows, starts)[several]
    several, first = several[last >= before], first[last >= before]
    sizes = sizes[several]
    at = np.repeat(starts[several] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    node, other = rows[at], np.repeat(first, sizes)
    return records_of(LINK, node=node[node != other], other=other[node != other])
