"""A rule drops exactly what is beyond its threshold, in the stated order; presets say what their papers say."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from plain_reading import many_documents, readings

from groundup.corpus.filters.columns import CODE_STATISTICS, COUNTS, OF_PROSE, PROSE, STATISTICS
from groundup.corpus.filters.configuration import RulesConfig
from groundup.corpus.filters.presets import RULES as PRESETS
from groundup.corpus.filters.rules import RULES, THRESHOLDS, Verdicts, judge
from groundup.corpus.filters.statistics import measure

OFF = dict.fromkeys(RULES)

# The papers' and sources' thresholds once more, in the order in which they are applied.
GOPHER = {
    "min_words": 50, "max_words": 100_000, "min_mean_word_length": 3, "max_mean_word_length": 10,
    "min_alphabetic_words": 0.8, "min_stop_words": 2, "max_hashes_per_word": 0.1, "max_ellipses_per_word": 0.1,
    "max_bullet_lines": 0.9, "max_ellipsis_lines": 0.3,
    "max_duplicate_lines": 0.3, "max_duplicate_line_characters": 0.2,
    "max_duplicate_paragraphs": 0.3, "max_duplicate_paragraph_characters": 0.2,
    "max_top_bigram": 0.2, "max_top_trigram": 0.18, "max_top_fourgram": 0.16,
    "max_duplicate_5grams": 0.15, "max_duplicate_6grams": 0.14, "max_duplicate_7grams": 0.13,
    "max_duplicate_8grams": 0.12, "max_duplicate_9grams": 0.11, "max_duplicate_10grams": 0.1,
}  # fmt: skip
C4 = {"min_sentences": 5, "max_curly_brackets": 0, "max_lorem_ipsum": 0}
FINEWEB = {"min_terminal_lines": 0.12, "max_short_lines": 0.67, "max_newlines_per_word": 0.3}
CODE = {
    "min_words": 1, "max_mean_line_length": 100, "max_line_length": 1000,
    "min_alphanumeric_characters": 0.25, "max_generated_marks": 0,
}  # fmt: skip
DOCS = {
    "min_words": 5, "max_words": 100_000, "min_mean_word_length": 2, "max_mean_word_length": 20,
    "min_alphabetic_words": 0.6, "max_hashes_per_word": 0.3, "max_ellipses_per_word": 0.3,
    "max_duplicate_line_characters": 0.3, "max_top_trigram": 0.3,
}  # fmt: skip
READINGS = {
    "gopher": GOPHER,
    "c4": C4,
    "fineweb": {**GOPHER, **C4, "max_duplicate_line_characters": 0.01, **FINEWEB},
    "code": CODE,
    "docs": DOCS,
}


def row(**values: Any) -> pa.RecordBatch:
    """One document of English with these statistics; the others are as good as can be."""
    good = {"words": 1000, "mean_word_length": 5.0, "alphabetic_words": 1.0, "stop_words": 8, "sentences": 50}
    good |= {"terminal_lines": 1.0, "alphanumeric_characters": 0.97, "language": "en", "language_confidence": 1.0}
    of_prose = dict.fromkeys(f"{PROSE}{name}" for name in ("words", *OF_PROSE))  # null: all of the text is prose
    return pa.RecordBatch.from_pylist([dict.fromkeys((*STATISTICS, *CODE_STATISTICS), 0) | of_prose | good | values])


def only(verdicts: Verdicts) -> tuple[str, float, float]:
    return verdicts.rule[0], verdicts.value[0], verdicts.threshold[0]


@pytest.mark.parametrize("preset", READINGS)
def test_verdicts_on_documents_are_those_of_a_plain_reading(preset: str) -> None:
    verdicts = judge(measure(pa.array(many_documents())), RulesConfig(preset=preset, measured_on="text", language=None))
    seen = set()
    columns = verdicts.rule, verdicts.value, verdicts.threshold
    for text, statistics, rule, value, threshold in zip(many_documents(), readings(), *columns, strict=True):
        expected = ""
        for key, limit in READINGS[preset].items():
            found = statistics.get(key[4:], 0)
            if found is None:  # what can't be measured breaks no rule
                continue
            if found < limit - 1e-12 if key.startswith("min_") else found > limit + 1e-12:
                expected = key
                break
        assert rule == expected, text[:200]
        if rule:
            assert value == pytest.approx(found)
            assert threshold == limit
        seen.add(rule)
    assert "" in seen
    assert len(seen) > 2


@pytest.mark.parametrize("preset", READINGS)
def test_presets_hold_these_thresholds_and_no_others(preset: str) -> None:
    rules = RulesConfig(preset=preset)
    assert {name: getattr(rules, name) for name in THRESHOLDS} == dict.fromkeys(THRESHOLDS) | READINGS[preset]
    assert rules.language == (None if preset == "code" else "en")
    assert rules.min_language_confidence == (0.65 if preset == "fineweb" else None)


def test_docs_is_the_default() -> None:
    shown = {name: field.default for name, field in RulesConfig.model_fields.items()}
    assert RulesConfig().model_dump() == shown == RulesConfig(preset="docs").model_dump()
    assert set(PRESETS) == set(READINGS)


def test_written_keys_go_before_the_preset() -> None:
    rules = RulesConfig(preset="fineweb", max_top_trigram=0.2, max_words=None, language="de")
    assert (rules.max_top_trigram, rules.max_words, rules.language, rules.min_words) == (0.2, None, "de", 50)
    assert RulesConfig.model_validate(rules.model_dump()) == rules
    again = RulesConfig.model_validate(rules.result_affecting())  # without the preset's name: all values are there
    assert again.model_copy(update={"preset": "fineweb"}) == rules


@pytest.mark.parametrize("rule", THRESHOLDS)
def test_a_threshold_itself_is_kept_and_what_is_beyond_is_named(rule: str) -> None:
    statistic, step = rule[4:], 1 if rule[4:] in (*COUNTS, "code_line_length") else 0.125
    rules = RulesConfig(**OFF | {rule: 4 * step})
    beyond = (3 if rule.startswith("min_") else 5) * step
    assert judge(row(**{statistic: 4 * step}), rules).kept.all()
    assert only(judge(row(**{statistic: beyond}), rules)) == (rule, beyond, 4 * step)
    assert judge(row(**{statistic: beyond}), RulesConfig(**OFF)).kept.all()


def test_the_first_broken_rule_is_the_reason() -> None:
    rules = RulesConfig(preset="fineweb")
    everything = row(words=2, stop_words=0, top_bigram=1.0, sentences=0, language="de")
    for rule, cure in (("language", "language"), ("min_words", "words"), ("min_stop_words", "stop_words")):
        assert judge(everything, rules).rule[0] == rule
        good = row().column(cure)
        everything = everything.set_column(everything.schema.get_field_index(cure), cure, good)
    assert judge(everything, rules).rule[0] == "max_top_bigram"


def test_language_counts_only_when_it_is_identified_with_confidence() -> None:
    rules = RulesConfig()
    assert only(judge(row(language="de", language_confidence=0.9), rules)) == ("language", 0.9, 0.5)
    assert judge(row(language="de", language_confidence=0.4), rules).kept.all()
    assert judge(row(language="und", language_confidence=0.0), RulesConfig(language_confidence=0)).kept.all()
    assert judge(row(language="de", language_confidence=0.9), RulesConfig(language=None)).kept.all()


def test_a_least_confidence_in_the_wanted_language() -> None:
    rules = RulesConfig(min_language_confidence=0.65)
    assert judge(row(language="en", language_confidence=0.65), rules).kept.all()
    assert only(judge(row(language="en", language_confidence=0.5), rules)) == ("min_language_confidence", 0.5, 0.65)
    assert only(judge(row(language="de", language_confidence=0.4), rules)) == ("min_language_confidence", 0.0, 0.65)
    assert judge(row(language="und", language_confidence=0.0), rules).kept.all()


def test_unknown_statistics_break_no_rule() -> None:
    unread = pa.RecordBatch.from_pylist([{}], schema=row().schema)
    assert judge(unread, RulesConfig(preset="fineweb")).kept.all()


def test_kept_rows_hold_no_value_and_no_row_is_no_error() -> None:
    verdicts = judge(row(), RulesConfig())
    assert np.isnan(verdicts.value).all()
    assert np.isnan(verdicts.threshold).all()
    assert len(judge(row().slice(0, 0), RulesConfig()).rule) == 0
