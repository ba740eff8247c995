"""Connected components of documents that are linked, by tasks that each see a part of the links.

Two operations take turns until neither changes anything (Kiveris et al., "Connected Components in MapReduce and
Beyond", 2014); a component is then a star around its smallest document:

    small star    a document's links to smaller ones all become links to the smallest of them
    large star    the larger documents that it is linked to are linked to the smallest that it is linked to

For each a task needs all links of its documents. Neither makes links more, and both together halve what lies between
a document and its smallest: a chain of a million takes some ten rounds, the stars that near-duplicates make two.
"""

from pathlib import Path

import numpy as np

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.merit import RowNumbers
from groundup.corpus.duplicates.runs import Records, read_runs, records_of, write_run
from groundup.corpus.duplicates.search import DuplicateSearch, SearchTask
from groundup.corpus.phases import Phases

LINK = np.dtype([("node", "<i8"), ("other", "<i8")])
LABELS = "labels"  # the last phase
_SMALL, _LARGE, _RUN = "small-star", "large-star", "links.run"


def of_node(nodes: RowNumbers, ranges: int) -> RowNumbers:
    """The task of each document."""
    return nodes % ranges


def label_components(search: DuplicateSearch, links: str, phases: Phases) -> None:
    """Write down the component of every linked document, to be read by `labels_of`.

    Args:
        search: whose documents.
        links: the phase that wrote LINK records from a larger document to a smaller one, by the larger one's task.
        phases: where tasks run.
    """
    reads, changes, turn = links, 1, 0
    while changes:
        changes = 0
        for kind, function in ((_SMALL, small_star), (_LARGE, large_star)):
            phase = f"{kind}-{turn}"
            tasks = [SearchTask(search, phase, number, reads) for number in range(search.ranges)]
            figures = phases.run("joining groups", search.folder / phase, function, tasks)
            changes += sum(one["changes"] for one in figures)
            reads = phase
        turn += 1
    tasks = [SearchTask(search, LABELS, number, reads) for number in range(search.ranges)]
    phases.run("joining groups", search.folder / LABELS, send_labels, tasks)


def small_star(task: SearchTask) -> Figures:
    """Of the documents of one task, each with its links to smaller ones."""
    return task.run(lambda folder: _small(task, folder))


def _small(task: SearchTask, folder: Path) -> Figures:
    nodes, others = _links(task)
    least = _least(nodes, others)
    rest = others != least
    first = np.concatenate(([True], nodes[1:] != nodes[:-1])) if len(nodes) else np.zeros(0, bool)
    larger = np.concatenate([nodes[first], others[rest]])
    smaller = np.concatenate([least[first], least[rest]])
    _write(task.search, folder, np.concatenate([larger, smaller]), np.concatenate([smaller, larger]))
    return {"changes": int(rest.sum())}


def large_star(task: SearchTask) -> Figures:
    """Of the documents of one task, each with all its links."""
    return task.run(lambda folder: _large(task, folder))


def _large(task: SearchTask, folder: Path) -> Figures:
    nodes, others = _links(task)
    least = np.minimum(_least(nodes, others), nodes)
    larger = others > nodes
    _write(task.search, folder, others[larger], least[larger])
    return {"changes": int((larger & (least != nodes)).sum())}


def send_labels(task: SearchTask) -> Figures:
    """Send each document's component, which is called by its smallest document, to the part of the document."""
    return task.run(lambda folder: _send(task, folder))


def _send(task: SearchTask, folder: Path) -> Figures:
    nodes, labels = _links(task)
    centres = np.unique(labels)
    records = records_of(LINK, node=np.concatenate([nodes, centres]), other=np.concatenate([labels, centres]))
    write_run(folder / _RUN, records, task.search.part_of(records["node"]), task.search.parts)
    return {}


def labels_of(search: DuplicateSearch, part: int) -> tuple[RowNumbers, RowNumbers]:
    """`(rows, components)` of the documents of a part that are linked; the rows rise."""
    found = read_runs(search.files(LABELS, search.ranges, _RUN), part, LINK)
    rows, first = np.unique(found["node"], return_index=True)
    return rows, found["other"][first]


def _links(task: SearchTask) -> tuple[RowNumbers, RowNumbers]:
    """`(nodes, others)` of a task's links, each once, in rising order."""
    found = read_runs(task.search.files(task.reads, task.search.ranges, _RUN), task.number, LINK)
    order = np.lexsort((found["other"], found["node"]))
    nodes, others = found["node"][order], found["other"][order]
    fresh = np.ones(len(nodes), dtype=bool)
    fresh[1:] = (nodes[1:] != nodes[:-1]) | (others[1:] != others[:-1])
    return nodes[fresh], others[fresh]


def _least(nodes: RowNumbers, others: RowNumbers) -> RowNumbers:
    """For each link the smallest document that its node is linked to."""
    if not len(nodes):
        return nodes
    starts = np.flatnonzero(np.concatenate(([True], nodes[1:] != nodes[:-1])))
    return np.repeat(others[starts], np.diff(starts, append=len(nodes)))


def _write(search: DuplicateSearch, folder: Path, nodes: RowNumbers, others: RowNumbers) -> None:
    links: Records = records_of(LINK, node=nodes, other=others)
    write_run(folder / _RUN, links, of_node(links["node"], search.ranges), search.ranges)
