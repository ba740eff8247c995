"""What each document goes through on its own, in batches: it comes out as a candidate, or with the rule it broke.

    redaction -> URL rules -> line filter -> language -> statistics -> rules -> contamination

The steps are functions over Arrow string arrays. A batch keeps the order in which it was read: its ledger has a row for
each item, and its candidates are the documents whose row names no rule. Redaction comes first, so that nothing of what
it masks is written down anywhere, also not of documents that are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.counts import Counts
from groundup.corpus.curate.rows import as_numbers, byte_lengths, column, digests
from groundup.corpus.documents import EXCERPT_CHARACTERS, Document, Dropped, documents_schema
from groundup.corpus.duplicates.merit import CandidateRows
from groundup.corpus.ledger import REDACTED, ledger_schema
from groundup.corpus.redaction.configuration import KINDS

if TYPE_CHECKING:
    import pyarrow as pa

    from groundup.corpus.contamination.matches import Matches

_LOCATION = ("source", "origin", "offset", "url", "licence")
_Facts = list[dict[str, str]]
CONTAMINATION = "contamination"


@dataclass
class Judged:
    """A batch after all steps."""

    ledger: "pa.RecordBatch"
    candidates: "pa.RecordBatch"
    rows: CandidateRows
    account: "pa.RecordBatch | None"
    """What of evaluation sets was found; None where nothing is looked for."""


class _Batch:
    """The documents of a batch on their way, in columns of equal length."""

    def __init__(self, items: Sequence[Document | Dropped]) -> None:
        import pyarrow as pa

        self.items = items
        self.found = [item for item in items if isinstance(item, Document)]
        self.texts: pa.Array = pa.array([one.text for one in self.found], pa.string())
        self.titles = [item.title for item in items]  # of all items, as are the excerpts
        self.excerpts = [item.excerpt if isinstance(item, Dropped) else "" for item in items]
        self.facts: list[_Facts] = [
            [{"subject": fact.subject, "aspect": fact.aspect, "answer": fact.answer} for fact in one.facts]
            for one in self.found
        ]
        self.measured: dict[str, pa.Array] = {}  # by column of the ledger
        count = len(self.found)
        self.rule = np.full(count, "", dtype=object)  # the first that each broke
        self.value, self.threshold = np.full(count, np.nan), np.full(count, np.nan)
        self.because_of = np.full(count, "", dtype=object)  # the evaluation item that each holds

    @property
    def alive(self) -> NDArray[np.int64]:
        """CandidateRows of the documents that have broken no rule."""
        return np.flatnonzero(self.rule == "")

    def drop(self, rule: NDArray[np.object_], value: Any = np.nan, threshold: Any = np.nan) -> None:
        """End the documents that break a rule here and have broken none before.

        Args:
            rule: [documents] its name; empty where none is broken.
            value: [documents], or of all alike, what was measured.
            threshold: likewise what is allowed.
        """
        new = (self.rule == "") & (rule != "")
        for mine, theirs in ((self.rule, rule), (self.value, value), (self.threshold, threshold)):
            mine[new] = np.broadcast_to(theirs, new.shape)[new]

    def count(self, counts: Counts, step: str) -> None:
        counts.step(step, len(self.alive), int(byte_lengths(self.texts)[self.alive].sum()))


class Steps:
    """The steps of one configuration, with the models and lists that they need."""

    def __init__(self, config: CurateConfig, base: Path) -> None:
        from groundup.corpus.contamination.items import EvaluationItems
        from groundup.corpus.filters import language
        from groundup.corpus.filters.statistics import statistics_schema
        from groundup.corpus.filters.urls import UrlRules

        self.config = config
        self.evaluation = EvaluationItems.load(config.contamination, base) if config.contamination else None
        self.urls = UrlRules(config.urls, base) if config.urls.on else None
        self.language_model = language.load(config.language, base)
        self.ledger_schema = ledger_schema(statistics_schema(), KINDS if config.redaction else ())
        self.candidates_schema = documents_schema()

    def take(self, items: Sequence[Document | Dropped], counts: Counts) -> Judged:
        """Take a batch through all steps, counting what happens to it."""
        from groundup.corpus.filters.lines import keep_lines

        batch = _Batch(items)
        _count_read(items, byte_lengths(batch.texts).tolist(), counts)
        self._redact(batch, counts)
        if self.urls is not None:
            verdicts = self.urls.judge([one.url for one in batch.found])
            batch.drop(verdicts.rule, verdicts.value, verdicts.threshold)
            batch.count(counts, "urls")
        if self.config.lines.on:
            batch.texts, gone = keep_lines(batch.texts, self.config.lines)
            for reason, lines in gone.items():
                counts.tally("lines", reason, lines)
            batch.count(counts, "lines")
        self._measure(batch, counts)
        found = self._decontaminate(batch, counts)
        keys = self._identify(batch)
        account = self._account(*found, keys) if found is not None else None
        for row in np.flatnonzero(batch.rule != ""):
            counts.drop(batch.found[row].source, batch.rule[row])
        passed = batch.alive
        rows = CandidateRows(as_numbers([keys[row] for row in passed]), byte_lengths(batch.texts)[passed])
        return Judged(self._ledger(batch), self._candidates(batch, passed), rows, account)

    def _redact(self, batch: _Batch, counts: Counts) -> None:
        """Mask in texts, titles, facts and excerpts; the counts are those of the texts."""
        config = self.config.redaction
        if config is None:
            return
        import pyarrow as pa

        from groundup.corpus.redaction.redact import redact, rules

        def masked(strings: list[str]) -> list[str]:
            return redact(pa.array(strings, pa.string()), config)[0].to_pylist()

        batch.texts, found = redact(batch.texts, config)
        batch.titles, batch.excerpts = masked(batch.titles), masked(batch.excerpts)
        answers = iter(masked([fact["answer"] for facts in batch.facts for fact in facts]))
        batch.facts = [[fact | {"answer": next(answers)} for fact in facts] for facts in batch.facts]
        for kind, times in found.items():
            batch.measured[f"{REDACTED}{kind}"] = pa.array(times)
            counts.tally("redactions", kind, int(times.sum()))
        batch.drop(rules(found, config))
        batch.count(counts, "redaction")

    def _measure(self, batch: _Batch, counts: Counts) -> None:
        """Language and statistics of all documents, and the rules over them."""
        import pyarrow as pa

        from groundup.corpus.filters.language import identify_many
        from groundup.corpus.filters.prose import prose_of
        from groundup.corpus.filters.rules import judge
        from groundup.corpus.filters.statistics import measure_all

        prose = prose_of(batch.texts)
        codes, confidences = identify_many(prose.or_text(batch.texts), self.language_model)
        for code in codes:
            counts.tally("languages", code)
        batch.measured["language"] = pa.array(codes, pa.string())
        batch.measured["language_confidence"] = pa.array(confidences, pa.float32())
        statistics = measure_all(batch.texts, prose)
        batch.measured |= {name: statistics.column(name) for name in statistics.schema.names}
        verdicts = judge(pa.RecordBatch.from_pydict(batch.measured), self.config.rules)
        batch.drop(verdicts.rule, verdicts.value, verdicts.threshold)
        batch.count(counts, "rules")

    def _decontaminate(self, batch: _Batch, counts: Counts) -> "tuple[pa.Array, NDArray[np.int64], Matches] | None":
        """Drop documents that contain items of evaluation sets, or cut these out.

        Returns:
            The texts before cutting of the documents that were searched, their rows, and the matches in them; None if
            there are no evaluation sets.
        """
        if self.evaluation is None:
            return None
        import pyarrow as pa

        from groundup.corpus.contamination.removal import cut

        config, alive = self.evaluation.config, batch.alive
        texts = batch.texts.take(pa.array(alive))
        matches = self.evaluation.find(texts)
        holding = np.unique(matches.rows)
        left, gone = texts, holding
        words: Any = np.nan
        if config.on_match == "cut":
            done = cut(texts, matches)
            left, gone = done.texts, holding[done.words_left[holding] < config.least_words_left]
            words = done.words_left[gone].astype(np.float64)
            counts.tally("decontamination", "paragraphs", int(done.paragraphs.sum()))
            counts.tally("decontamination", "bytes", int(done.bytes.sum()))
            batch.texts = _scattered(batch.texts, alive, left)
        for row, item in zip(matches.rows[::-1].tolist(), matches.items[::-1].tolist(), strict=True):
            one = self.evaluation.items[item]  # the first match of a row comes last and stays
            batch.because_of[alive[row]] = f"{one.set}:{one.line}"
        rule = np.full(len(batch.found), "", dtype=object)
        rule[alive[gone]] = CONTAMINATION
        value, threshold = np.full(len(rule), np.nan), np.full(len(rule), np.nan)
        if config.on_match == "cut":
            value[alive[gone]], threshold[alive[gone]] = words, config.least_words_left
        batch.drop(rule, value, threshold)
        batch.because_of[batch.rule != CONTAMINATION] = ""
        batch.count(counts, "contamination")
        return texts, alive, matches

    def _account(
        self, texts: "pa.Array", rows: NDArray[np.int64], matches: "Matches", keys: list[bytes]
    ) -> "pa.RecordBatch":
        """The account of what was found; it names documents by the id of what is left of them."""
        from groundup.corpus.contamination.removal import account

        assert self.evaluation is not None
        return account(self.evaluation, texts, matches, [keys[row].hex() for row in rows])

    def _identify(self, batch: _Batch) -> list[bytes]:
        """The key of each document's id, which is of the text as it is now."""
        import pyarrow as pa

        keys = digests(batch.texts)
        batch.measured["id"] = pa.array([key.hex() for key in keys], pa.string())
        batch.measured["bytes"] = pa.array(byte_lengths(batch.texts))
        batch.measured["quality"] = pa.nulls(len(keys), pa.float32())
        return keys

    def _candidates(self, batch: _Batch, passed: NDArray[np.int64]) -> "pa.RecordBatch":
        """The documents that are left, without their split."""
        import pyarrow as pa

        titles = [title for title, item in zip(batch.titles, batch.items, strict=True) if isinstance(item, Document)]
        values: dict[str, Any] = {name: [getattr(batch.found[row], name) for row in passed] for name in _LOCATION}
        for name in ("id", "language", "quality"):
            values[name] = batch.measured[name].take(pa.array(passed))
        values["text"] = batch.texts.take(pa.array(passed))
        values["title"] = [titles[row] for row in passed]
        values["facts"] = [batch.facts[row] for row in passed]
        values["split"] = [""] * len(passed)
        return _record_batch(values, self.candidates_schema)

    def _ledger(self, batch: _Batch) -> "pa.RecordBatch":
        """A row for each item of the batch."""
        import pyarrow as pa

        is_document = np.array([isinstance(item, Document) for item in batch.items], dtype=bool)
        rows = np.cumsum(is_document) - 1
        among = pa.array(rows, pa.int64(), mask=~is_document)  # null for what could not be read
        values: dict[str, Any] = {name: [getattr(item, name) for item in batch.items] for name in _LOCATION}
        values |= {name: values_of.take(among) for name, values_of in batch.measured.items()}
        values |= {name: values[name].fill_null("") for name in ("id", "language")}
        gone = np.flatnonzero(batch.rule != "")
        starts = dict(zip(gone.tolist(), excerpts_of(batch.texts.take(pa.array(gone))), strict=True))
        values |= {"title": batch.titles, "excerpt": batch.excerpts}
        values |= {name: [] for name in ("rule", "value", "threshold", "duplicate_of")}
        for at, (item, row) in enumerate(zip(batch.items, rows.tolist(), strict=True)):
            if isinstance(item, Dropped):
                end = (item.rule, item.value, item.threshold, "")
            else:
                end = (batch.rule[row], known(batch.value[row]), known(batch.threshold[row]), batch.because_of[row])
                values["excerpt"][at] = starts.get(row, "")
            for name, value in zip(("rule", "value", "threshold", "duplicate_of"), end, strict=True):
                values[name].append(value)
        return _record_batch(values, self.ledger_schema)


def excerpts_of(texts: "pa.Array") -> list[str]:
    """The first characters of each text."""
    import pyarrow.compute as pc

    return pc.utf8_slice_codeunits(texts, 0, EXCERPT_CHARACTERS).to_pylist()


def known(value: float) -> float | None:
    """`value`, or None where it is NaN: nothing was measured."""
    return None if np.isnan(value) else float(value)


def _record_batch(values: dict[str, Any], schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([column(values[one.name], one.type) for one in schema], schema=schema)


def _scattered(texts: "pa.Array", rows: NDArray[np.int64], others: "pa.Array") -> "pa.Array":
    """`texts` with those at `rows` replaced by `others`."""
    import pyarrow as pa

    positions = np.arange(len(texts))
    positions[rows] = len(texts) + np.arange(len(rows))
    return pa.concat_arrays([texts, others.cast(texts.type)]).take(pa.array(positions))


def _count_read(items: Sequence[Document | Dropped], sizes: Sequence[int], counts: Counts) -> None:
    """Count a batch as it was read; `sizes` are the bytes of its documents."""
    of_documents = iter(sizes)
    for item in items:
        if isinstance(item, Dropped):
            counts.drop(item.source, item.rule)
            if item.is_row:
                counts.bad_row(item.source, f"{item.origin}: {item.rule} ({item.excerpt})")
        else:
            counts.read(item.source, 1, next(of_documents))
            if item.note:
                counts.tally("reading", item.note)
    counts.step("found", len(items), sum(sizes))
    counts.step("read", len(sizes), sum(sizes))
