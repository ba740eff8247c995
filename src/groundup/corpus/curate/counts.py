"""Counts of what happened to documents, added up over partitions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from groundup.artifacts.work import Figures

NAMED_ROWS = 10  # bad rows that an error names


class BadRows(TypedDict):
    """How many rows of a source are bad, and the first of them, each with its reason."""

    rows: int
    first: list[str]


@dataclass
class Counts:
    """Documents and bytes by step of the funnel and by source, and how often each thing happened."""

    steps: dict[str, list[int]] = field(default_factory=dict)
    """Step -> [documents, bytes of text] that come out of it."""
    sources: dict[str, list[int]] = field(default_factory=dict)
    """Source -> [documents, bytes of text] that were read."""
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    """Source -> rule -> documents and files that it dropped."""
    kept: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Source -> licence -> [documents, bytes of text, held-out documents, held-out bytes] that are kept."""
    tallies: dict[str, Counter[str]] = field(default_factory=dict)
    """languages, redactions, contamination, lines, ...: name -> what -> how often."""

    bad_rows: dict[str, BadRows] = field(default_factory=dict)
    """Source -> rows of tables that are not as they should be."""

    def step(self, name: str, documents: int, size: int) -> None:
        """Count documents that come out of a step; steps keep the order in which they are first named."""
        _add(self.steps, name, documents, size)

    def read(self, source: str, documents: int, size: int) -> None:
        _add(self.sources, source, documents, size)

    def drop(self, source: str, rule: str, times: int = 1) -> None:
        self.dropped.setdefault(source, Counter())[rule] += times

    def keep(self, source: str, licence: str, heldout: bool, size: int) -> None:
        """Count a document that is kept."""
        self._keep(source, licence, (1, size, heldout, size * heldout))

    def _keep(self, source: str, licence: str, more: Sequence[int]) -> None:
        held = self.kept.setdefault(source, {}).setdefault(licence, [0, 0, 0, 0])
        held[:] = (before + now for before, now in zip(held, more, strict=True))

    def bad_row(self, source: str, what: str) -> None:
        """Count a row that is not as it should be; `what` names it and the reason."""
        self._bad_rows(source, {"rows": 1, "first": [what]})

    def _bad_rows(self, source: str, more: BadRows) -> None:
        held = self.bad_rows.setdefault(source, {"rows": 0, "first": []})
        held["rows"] += more["rows"]
        held["first"] = (held["first"] + more["first"])[:NAMED_ROWS]

    def tally(self, name: str, what: str, times: int = 1) -> None:
        if times:
            self.tallies.setdefault(name, Counter())[what] += times

    def rules(self) -> dict[str, int]:
        """Rule -> how many it dropped of all sources; the most frequent first."""
        total: Counter[str] = Counter()
        for rules in self.dropped.values():
            total.update(rules)
        return by_count(total)

    def add(self, figures: Figures) -> None:
        """Add the counts that `figures` made, perhaps in another process."""
        for name, (documents, size) in figures["steps"].items():
            self.step(name, documents, size)
        for name, (documents, size) in figures["sources"].items():
            self.read(name, documents, size)
        for source, rules in figures["dropped"].items():
            for rule, times in rules.items():
                self.drop(source, rule, times)
        for source, licences in figures["kept"].items():
            for licence, more in licences.items():
                self._keep(source, licence, more)
        for source, rows in figures["bad_rows"].items():
            self._bad_rows(source, rows)
        for name, whats in figures["tallies"].items():
            for what, times in whats.items():
                self.tally(name, what, times)

    def add_all(self, some: Iterable[Figures]) -> None:
        """Add several counts."""
        for figures in some:
            self.add(figures)

    def figures(self) -> Figures:
        """JSON-ready, as `add` takes it."""
        return {
            "steps": self.steps,
            "sources": self.sources,
            "dropped": {source: dict(rules) for source, rules in self.dropped.items()},
            "kept": self.kept,
            "bad_rows": self.bad_rows,
            "tallies": {name: dict(whats) for name, whats in self.tallies.items()},
        }


def total(some: Iterable[Figures]) -> Counts:
    """The sum of counts."""
    counts = Counts()
    counts.add_all(some)
    return counts


def by_count(counts: "Counter[str] | dict[str, int]") -> dict[str, int]:
    """The most frequent first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _add(into: dict[str, list[int]], name: str, documents: int, size: int) -> None:
    held = into.setdefault(name, [0, 0])
    held[0] += documents
    held[1] += size
