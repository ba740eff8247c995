"""Sets of thresholds under a name: `rules: {preset: fineweb}` and `lines: {preset: c4}` start from one of these.

What a preset does not name is off in it. Published presets are measured on the whole text, as in their papers, and
`docs` on prose alone. Sources:

    gopher   Rae et al. 2021, arXiv 2112.11446, appendix A.1.1 and table A1
    c4       Raffel et al. 2020, JMLR 21(140), section 2.2, as the tensorflow_datasets builder has it
    fineweb  Penedo et al. 2024, arXiv 2406.17557: Gopher's rules, C4's but for terminal punctuation, and its own
    code     Chen et al. 2021, arXiv 2107.03374, section 3.1; Li et al. 2023 (StarCoder), arXiv 2305.06161, section 3
    docs     groundup's own, for documentation, wikis and books: text that is good but does not look like an article
"""

from collections.abc import Mapping
from typing import Literal

RulesPreset = Literal["docs", "gopher", "c4", "fineweb", "code"]
LinesPreset = Literal["off", "c4", "fineweb"]

MeasuredOn = Literal["prose", "text"]

Threshold = float | str | None

_GOPHER: Mapping[str, Threshold] = {
    "measured_on": "text",
    "language": "en",  # its stop words are English
    "min_words": 50,
    "max_words": 100_000,
    "min_mean_word_length": 3.0,
    "max_mean_word_length": 10.0,
    "max_hashes_per_word": 0.1,
    "max_ellipses_per_word": 0.1,
    "max_bullet_lines": 0.9,
    "max_ellipsis_lines": 0.3,
    "min_alphabetic_words": 0.8,
    "min_stop_words": 2,
    "max_duplicate_lines": 0.3,
    "max_duplicate_line_characters": 0.2,
    "max_duplicate_paragraphs": 0.3,
    "max_duplicate_paragraph_characters": 0.2,
    "max_top_bigram": 0.2,
    "max_top_trigram": 0.18,
    "max_top_fourgram": 0.16,
    "max_duplicate_5grams": 0.15,
    "max_duplicate_6grams": 0.14,
    "max_duplicate_7grams": 0.13,
    "max_duplicate_8grams": 0.12,
    "max_duplicate_9grams": 0.11,
    "max_duplicate_10grams": 0.10,
}

_C4: Mapping[str, Threshold] = {
    "measured_on": "text",
    "language": "en",
    "min_sentences": 5,
    "max_curly_brackets": 0,
    "max_lorem_ipsum": 0,
}

_FINEWEB: Mapping[str, Threshold] = {
    **_GOPHER,
    **_C4,
    "min_language_confidence": 0.65,
    "max_duplicate_line_characters": 0.01,  # its own; Gopher's .2 can't be broken where this is not
    "min_terminal_lines": 0.12,
    "max_short_lines": 0.67,
    "max_newlines_per_word": 0.3,
}

_CODE: Mapping[str, Threshold] = {
    "measured_on": "text",
    "language": None,
    "min_words": 1,
    "max_mean_line_length": 100.0,
    "max_line_length": 1000,
    "min_alphanumeric_characters": 0.25,
    "max_generated_marks": 0,
}

_DOCS: Mapping[str, Threshold] = {
    "measured_on": "prose",
    "language": "en",
    "min_words": 5,
    "max_words": 100_000,
    "min_mean_word_length": 2.0,
    "max_mean_word_length": 20.0,  # `collections.abc.Mapping.get(key, default=None)` is two words
    "min_alphabetic_words": 0.6,
    "max_hashes_per_word": 0.3,
    "max_ellipses_per_word": 0.3,
    "max_duplicate_line_characters": 0.3,  # not lines: a reference repeats short ones, `Parameters` and `Example`
    "max_top_trigram": 0.3,
}

FOR_THE_WEB: frozenset[RulesPreset] = frozenset({"gopher", "c4", "fineweb"})
"""Presets for pages of the web, where documents that differ in digits alone are copies."""

RULES: Mapping[RulesPreset, Mapping[str, Threshold]] = {
    "docs": _DOCS,
    "gopher": _GOPHER,
    "c4": _C4,
    "fineweb": _FINEWEB,
    "code": _CODE,
}

_FINEWEB_LINES: Mapping[str, int | bool | None] = {
    "max_word_length": 1000,
    "min_words": 3,
    "javascript": True,
    "policies": True,
    "citations": True,
}

LINES: Mapping[LinesPreset, Mapping[str, int | bool | None]] = {
    "off": {},
    "c4": {**_FINEWEB_LINES, "terminal_punctuation": True},
    "fineweb": _FINEWEB_LINES,
}
