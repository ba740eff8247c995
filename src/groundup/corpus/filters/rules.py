"""Rules: thresholds over stored statistics. The first that a document breaks is named, with what was measured.

A rule is a key of `RulesConfig`: `min_words` is the least of the statistic `words` that is kept, `max_words` the most.
They are applied in the order in which the configuration lists them; the language comes first.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.columns import CODE_STATISTICS, OF_PROSE, PROSE, STATISTICS
from groundup.corpus.filters.configuration import RulesConfig
from groundup.corpus.filters.language import differs, undetermined

if TYPE_CHECKING:
    import pyarrow as pa

LANGUAGE, MIN_CONFIDENCE = "language", "min_language_confidence"
THRESHOLDS = tuple(name for name in RulesConfig.model_fields if name[4:] in (*STATISTICS, *CODE_STATISTICS))
RULES = (LANGUAGE, MIN_CONFIDENCE, *THRESHOLDS)
"""Every rule that a document may be dropped by here, in the order in which they are applied."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of each document, in columns of equal length."""

    rule: NDArray[np.object_]  # str: the key in the blueprint of the first rule that was broken; "" where it was kept
    value: NDArray[np.float64]  # what was measured; NaN where it was kept
    threshold: NDArray[np.float64]  # what the rule allows; NaN where it was kept

    @property
    def kept(self) -> NDArray[np.bool_]:
        """[rows] whether no rule was broken."""
        return np.asarray(self.rule == "")


def judge(statistics: "pa.RecordBatch", rules: RulesConfig) -> Verdicts:
    """The first rule that each document breaks.

    Args:
        statistics: rows of `measure_all`; with `language` and `language_confidence` next to them if `rules` names a
            language. A statistic that is null breaks no rule.
        rules: the thresholds.

    Raises:
        KeyError: a column is missing.
    """
    rows = statistics.num_rows
    verdicts = Verdicts(np.full(rows, "", dtype=object), np.full(rows, np.nan), np.full(rows, np.nan))

    def drop(broken: NDArray[np.bool_], rule: str, value: NDArray[np.float64], threshold: float) -> None:
        new = broken & verdicts.kept
        verdicts.rule[new], verdicts.value[new], verdicts.threshold[new] = rule, value[new], threshold

    if rules.language is not None and rows:
        listed = [code or "" for code in statistics.column(LANGUAGE).to_pylist()]
        codes = np.asarray(listed, dtype=object)
        others = {code for code in set(listed) if differs(code, rules.language)}
        sure = _numbers(statistics, "language_confidence")
        other = np.array([code in others for code in listed]) & (sure >= rules.language_confidence)
        drop(other, LANGUAGE, sure, rules.language_confidence)
        if rules.min_language_confidence is not None:
            identified = np.array([not undetermined(code) for code in listed])
            unsure = identified & ~(sure * (codes == rules.language) >= rules.min_language_confidence)
            drop(unsure, MIN_CONFIDENCE, sure * (codes == rules.language), rules.min_language_confidence)
    for rule in THRESHOLDS:
        threshold = getattr(rules, rule)
        if threshold is None:
            continue
        values = _values(statistics, rule[4:], rules)
        drop(values < threshold if rule.startswith("min_") else values > threshold, rule, values, float(threshold))
    return verdicts


def _values(statistics: "pa.RecordBatch", name: str, rules: RulesConfig) -> NDArray[np.float64]:
    """A statistic of the whole text, or of its prose where the rules are measured on that."""
    values = _numbers(statistics, name)
    if rules.measured_on == "prose" and name in OF_PROSE:
        partly = np.asarray(statistics.column(f"{PROSE}words").is_valid())
        values = np.where(partly, _numbers(statistics, PROSE + name), values)
    return values


def _numbers(statistics: "pa.RecordBatch", name: str) -> NDArray[np.float64]:
    """A column as float64, null as NaN, which breaks nothing: every comparison with it is false."""
    import pyarrow as pa

    column = statistics.column(name)
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
