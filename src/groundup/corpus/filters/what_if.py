"""What other thresholds would do, from the statistics that a finished run has stored; no text is read again.

The rows of the ledger are judged again. What the change means for a document depends on its end in the run:

    kept                        it may be dropped now
    dropped by a rule here      it may be kept now, as far as the rules go: it was never compared with the others, so
                                the steps after the rules may still drop it
    dropped by another step     it stays dropped (an address, evaluation items, quality, duplicates); but where the
                                document that was kept instead is dropped now, it may come back
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from groundup.corpus.filters.columns import OF_PROSE, PROSE
from groundup.corpus.filters.configuration import RulesConfig
from groundup.corpus.filters.presets import RULES as PRESETS
from groundup.corpus.filters.rules import LANGUAGE, RULES, THRESHOLDS, judge
from groundup.errors import GroundupError

if TYPE_CHECKING:
    import pyarrow as pa

_APART = ("preset", "notes")
_SHOWN = ("id", "title", "source", "origin", "excerpt")
_ID_DIGITS = 16


@dataclass
class Amount:
    """How many documents, and how many tokens are in them."""

    documents: int = 0
    tokens: float = 0.0

    def add(self, which: NDArray[np.bool_], tokens: NDArray[np.float64]) -> None:
        self.documents += int(which.sum())
        self.tokens += float(tokens[which].sum())


@dataclass(frozen=True, order=True)
class Sample:
    """A document whose end would change."""

    id: str
    title: str = field(compare=False)
    source: str = field(compare=False)
    origin: str = field(compare=False)
    excerpt: str = field(compare=False)
    """The ledger holds one of what was dropped; what was kept is in the documents."""
    value: float = field(compare=False)
    threshold: float = field(compare=False)


@dataclass
class Change:
    """One rule, now and then. A document counts for the first rule that it breaks."""

    rule: str
    now: Any
    then: Any
    drops_now: Amount = field(default_factory=Amount)
    drops_then: Amount = field(default_factory=Amount)
    """Of the same documents: those that other steps of the run dropped count in neither."""
    newly_dropped: Amount = field(default_factory=Amount)
    newly_kept: Amount = field(default_factory=Amount)
    """Of those that the rule drops now."""
    samples_dropped: list[Sample] = field(default_factory=list)
    samples_kept: list[Sample] = field(default_factory=list)


@dataclass
class WhatIf:
    """What a change of rules would do to a run's documents."""

    changes: dict[str, Change]
    unit: str
    """What `tokens` are: tokens, estimated from bytes, or words."""
    kept_now: Amount = field(default_factory=Amount)
    kept_then: Amount = field(default_factory=Amount)
    """As far as the rules go."""
    other_steps: dict[str, int] = field(default_factory=dict)
    """Documents that other steps dropped, by rule."""
    may_come_back: int = 0
    """Those of them that are duplicates of a document that would be dropped, and break no rule themselves."""


def changed(rules: RulesConfig, preset: str | None = None, settings: Sequence[str] = ()) -> RulesConfig:
    """`rules` with other thresholds.

    Args:
        rules: those of the run.
        preset: start from this one instead; the language stays that of the run.
        settings: `max_top_trigram=.2`; `null` takes a rule away.

    Raises:
        GroundupError: a key or preset that does not exist, or a value that the key can't have.
    """
    if preset is not None:
        if preset not in PRESETS:
            raise _unknown("preset", preset, list(PRESETS), "--preset")
        rules = RulesConfig.model_validate(
            {"preset": preset, "language": rules.language, "language_confidence": rules.language_confidence}
        )
    values = rules.model_dump()
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip().removeprefix("curate.").removeprefix("rules.")
        where = f"--set {setting}"
        if not equals:
            raise GroundupError("has no value", where=where, do="write KEY=VALUE, such as max_top_trigram=.2")
        keys = [name for name in RulesConfig.model_fields if name not in _APART]
        if key not in keys:
            raise _unknown("rule", key, keys, where)
        values[key] = _value(text.strip(), key)
        try:
            RulesConfig.model_validate(values)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise GroundupError(f"{what[0].lower()}{what[1:]}", where=where) from error
    return RulesConfig.model_validate(values)


def what_if(
    batches: Iterable["pa.RecordBatch"],
    now: RulesConfig,
    then: RulesConfig,
    bytes_per_token: float | None = None,
    samples: int = 3,
) -> WhatIf:
    """Judge the rows of a ledger by other rules.

    Args:
        batches: all rows of the ledger, at least with the columns of `columns(now, then)`.
        now: the rules of the run.
        then: the rules to try.
        bytes_per_token: of the run's tokenizer; without it, words are counted.
        samples: documents named for each rule and direction: those with the least ids, which are hashes of the texts.
    """
    found = WhatIf(
        {rule: Change(rule, getattr(now, rule), getattr(then, rule)) for rule in RULES},
        "words" if bytes_per_token is None else "tokens",
    )
    dropped_ids, waiting = list[NDArray[np.uint64]](), list[NDArray[np.uint64]]()
    for batch in batches:
        measured = batch.filter(batch.column("words").is_valid())
        ends = np.asarray(measured.column("rule").to_pylist(), dtype=object)
        verdicts = judge(measured, then)
        tokens = (
            np.asarray(measured.column("words"), dtype=np.float64)
            if bytes_per_token is None
            else np.asarray(measured.column("bytes"), dtype=np.float64) / bytes_per_token
        )
        kept, ours = ends == "", np.isin(ends, RULES)
        found.kept_now.add(kept, tokens)
        found.kept_then.add((kept | ours) & verdicts.kept, tokens)
        before = np.asarray(measured.column("value")), np.asarray(measured.column("threshold"))
        for rule, change in found.changes.items():
            broken = verdicts.rule == rule
            lost, gained = kept & broken, (ends == rule) & verdicts.kept
            change.drops_now.add(ends == rule, tokens)
            change.drops_then.add((kept | ours) & broken, tokens)
            change.newly_dropped.add(lost, tokens)
            change.newly_kept.add(gained, tokens)
            _sample(change.samples_dropped, measured, lost, verdicts.value, verdicts.threshold, samples)
            _sample(change.samples_kept, measured, gained, *before, samples)
        others = ~kept & ~ours
        for rule in ends[others]:
            found.other_steps[rule] = found.other_steps.get(rule, 0) + 1
        dropped_ids.append(_as_numbers(measured, "id", kept & ~verdicts.kept))
        waiting.append(_as_numbers(measured, "duplicate_of", others & verdicts.kept))
    if dropped_ids:
        found.may_come_back = int(np.isin(np.concatenate(waiting), np.concatenate(dropped_ids)).sum())
    found.other_steps = dict(sorted(found.other_steps.items(), key=lambda item: (-item[1], item[0])))
    return found


def columns(now: RulesConfig, then: RulesConfig) -> list[str]:
    """The columns of the ledger that `what_if` needs."""
    used = [rule[4:] for rule in THRESHOLDS if getattr(then, rule) is not None]
    if then.measured_on == "prose":
        used += [f"{PROSE}words", *(PROSE + name for name in used if name in OF_PROSE)]
    needed = ["words", "bytes", LANGUAGE, "language_confidence", "rule", "value", "threshold", "duplicate_of"]
    return list(dict.fromkeys([*_SHOWN, *needed, *used]))


def rules_of(configuration: dict[str, Any], where: str) -> RulesConfig:
    """The rules that a `curate` artifact was made with, from the configuration in its manifest.

    Raises:
        GroundupError: another version of groundup made it, with rules that this one does not have.
    """
    try:
        return RulesConfig.model_validate(configuration["rules"])
    except (KeyError, ValidationError) as error:
        do = "run the curate stage again"
        raise GroundupError("was made by a version of groundup with other rules", where=where, do=do) from error


def with_excerpts(samples: Sequence[Sample], documents: Iterator[Any], characters: int = 300) -> dict[str, str]:
    """Id -> the beginning of the text, for those samples that the ledger has no excerpt of.

    Args:
        samples: see there.
        documents: what was kept, with ids and texts.
        characters: how much of each.
    """
    wanted = {one.id for one in samples if not one.excerpt}
    found: dict[str, str] = {}
    for document in documents if wanted else ():
        if document.id in wanted:
            found[document.id] = document.text[:characters]
            if len(found) == len(wanted):
                break
    return found


def _sample(
    into: list[Sample],
    rows: "pa.RecordBatch",
    which: NDArray[np.bool_],
    values: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    most: int,
) -> None:
    """Add those of the rows with the least ids, and keep the `most` least of all."""
    if most == 0 or not which.any():
        return
    numbers = np.flatnonzero(which)
    ids = rows.column("id").take(_array(numbers)).to_pylist()
    least = heapq.nsmallest(most, zip(ids, numbers.tolist(), strict=True))
    for _, number in least:
        shown = {name: rows.column(name)[number].as_py() or "" for name in _SHOWN}
        into.append(Sample(**shown, value=float(values[number]), threshold=float(thresholds[number])))
    into[:] = sorted(into)[:most]


def _array(numbers: NDArray[np.int64]) -> "pa.Array":
    import pyarrow as pa

    return pa.array(numbers)


def _as_numbers(rows: "pa.RecordBatch", name: str, which: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """The first 64 bits of ids; of what is no id, such as a line of an evaluation set, nothing."""
    ids = rows.column(name).take(_array(np.flatnonzero(which))).to_pylist()
    return np.array([int(one[:_ID_DIGITS], 16) for one in ids if one and _is_id(one)], dtype=np.uint64)


def _is_id(text: str) -> bool:
    return len(text) == 2 * _ID_DIGITS and set(text) <= set("0123456789abcdef")


def _value(text: str, key: str) -> int | float | str | None:
    if text.lower() in ("null", "none", "~", ""):
        return None
    if key == LANGUAGE:
        return text
    try:
        return int(text.replace("_", ""))
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def _unknown(kind: str, name: str, names: Sequence[str], where: str) -> GroundupError:
    import difflib

    # `top_trigram` and `max_topp_trigram` both mean max_top_trigram.
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6) or [one for one in names if one[4:] == name]
    do = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return GroundupError(f"there is no {kind} {name}", where=where, do=do)
