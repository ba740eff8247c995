"""Statistics equal counts made here in another way, and a rule drops exactly what breaks it."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.configuration import RulesConfig
from groundup.corpus.language import Language
from groundup.corpus.rules import first_broken
from groundup.corpus.statistics import Statistics, measure

ENGLISH = Language("en", 1.0)
GOOD = Statistics(
    words=100, mean_word_length=5.0, alphabetic_words=0.95, symbols_per_word=0.0, duplicate_lines=0.0, top_trigram=0.0
)


def counted(text: str) -> Statistics:
    """The same statistics, counted the slow way from their definitions."""
    words = text.split()
    if not words:
        return Statistics(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    ellipses, rest = 0, text
    while "..." in rest:
        rest = rest[: rest.index("...")] + "\0" + rest[rest.index("...") + 3 :]
        ellipses += 1
    ellipses += text.count("\u2026")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    repeated = sum(line in lines[:at] for at, line in enumerate(lines))
    top = 0.0
    if len(words) >= 50:
        grams = ["\n".join(words[at : at + 3]) for at in range(len(words) - 2)]
        most = max(grams.count(gram) for gram in set(grams))
        if most > 1:
            longest = max(len(gram) - 2 for gram in set(grams) if grams.count(gram) == most)
            top = min(1.0, most * longest / sum(len(word) for word in words))
    return Statistics(
        words=len(words),
        mean_word_length=sum(len(word) for word in words) / len(words),
        alphabetic_words=len([word for word in words if any(c.isalpha() for c in word)]) / len(words),
        symbols_per_word=(sum(c == "#" for c in text) + ellipses) / len(words),
        duplicate_lines=repeated / len(lines),
        top_trigram=top,
    )


@settings(max_examples=150)
@given(st.text(alphabet="abé7#.…  \n", max_size=300))
def test_statistics_equal_slow_counts(text: str) -> None:
    measured, expected = measure(text), counted(text)
    for name in Statistics.__dataclass_fields__:
        assert math.isclose(getattr(measured, name), getattr(expected, name), abs_tol=1e-12), name


def test_a_repeated_trigram() -> None:
    text = "buy now here " * 20
    assert measure(text).top_trigram == pytest.approx(20 * 10 / 200)
    assert measure("buy now here " * 16).top_trigram == 0.0  # 48 words: too few to tell


def test_what_is_within_every_threshold_is_kept() -> None:
    assert first_broken(GOOD, ENGLISH, RulesConfig()) is None


@pytest.mark.parametrize(
    ("rule", "statistic", "at", "beyond"),
    [
        ("min_words", "words", 5, 4),
        ("max_words", "words", 100_000, 100_001),
        ("min_mean_word_length", "mean_word_length", 2.0, 1.9),
        ("max_mean_word_length", "mean_word_length", 20.0, 20.1),
        ("min_alphabetic_words", "alphabetic_words", 0.6, 0.59),
        ("max_symbols_per_word", "symbols_per_word", 0.3, 0.31),
        ("max_duplicate_lines", "duplicate_lines", 0.3, 0.31),
        ("max_top_trigram", "top_trigram", 0.3, 0.31),
    ],
)
def test_a_threshold_itself_is_kept_and_what_is_beyond_is_named(
    rule: str, statistic: str, at: float, beyond: float
) -> None:
    assert first_broken(replace(GOOD, **{statistic: at}), ENGLISH, RulesConfig()) is None
    broken = first_broken(replace(GOOD, **{statistic: beyond}), ENGLISH, RulesConfig())
    assert broken is not None
    assert (broken.rule, broken.value, broken.threshold) == (rule, beyond, float(getattr(RulesConfig(), rule)))


def test_language_counts_only_when_it_is_told_with_confidence() -> None:
    broken = first_broken(GOOD, Language("de", 0.9), RulesConfig())
    assert broken is not None
    assert (broken.rule, broken.value, broken.threshold) == ("language", 0.9, 0.5)
    assert first_broken(GOOD, Language("de", 0.4), RulesConfig()) is None
    assert first_broken(GOOD, Language("und", 0.0), RulesConfig(language_confidence=0.0)) is None
    assert first_broken(GOOD, Language("de", 0.9), RulesConfig(language=None)) is None
