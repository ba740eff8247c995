"""Rules: thresholds over statistics. The first that a document breaks is named, with what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

from groundup.corpus.configuration import RulesConfig
from groundup.corpus.language import UNDETERMINED, Language
from groundup.corpus.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Broken:
    """The rule that a document broke; `rule` is the key of the blueprint that holds its threshold."""

    rule: str
    value: float
    threshold: float


# (key in the blueprint, statistic, whether the threshold is the least or the most that is kept), in order.
_LIMITS: tuple[tuple[str, Callable[[Statistics], float], bool], ...] = (
    ("min_words", lambda measured: measured.words, True),
    ("max_words", lambda measured: measured.words, False),
    ("min_mean_word_length", lambda measured: measured.mean_word_length, True),
    ("max_mean_word_length", lambda measured: measured.mean_word_length, False),
    ("min_alphabetic_words", lambda measured: measured.alphabetic_words, True),
    ("max_symbols_per_word", lambda measured: measured.symbols_per_word, False),
    ("max_duplicate_lines", lambda measured: measured.duplicate_lines, False),
    ("max_top_trigram", lambda measured: measured.top_trigram, False),
)


def first_broken(statistics: Statistics, language: Language, rules: RulesConfig) -> Broken | None:
    """The first rule that a document breaks, or None where it is kept.

    The language comes first, and only counts where it could be told (see `language.py`) with at least
    `language_confidence`.
    """
    if (
        rules.language is not None
        and language.code not in (rules.language, UNDETERMINED)
        and language.confidence >= rules.language_confidence
    ):
        return Broken("language", language.confidence, rules.language_confidence)
    for key, statistic, is_least in _LIMITS:
        value, threshold = float(statistic(statistics)), float(getattr(rules, key))
        if value < threshold if is_least else value > threshold:
            return Broken(key, value, threshold)
    return None
