"""What each rule of curation means, with the thresholds of the run's blueprint."""

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.rules import RULES
from groundup.report.run import Run


def meaning(rule: str, run: Run) -> str:
    """The rule in words, with the threshold of the run's blueprint."""
    config = run.loaded.blueprint.curate
    return RULES[rule].words(_limits(config).get(rule), config.rules.language)


def _limits(config: CurateConfig) -> dict[str, float]:
    """The thresholds of the blueprint, by rule."""
    limits = {name: value for name, value in config.rules if isinstance(value, (int, float))}
    limits |= {
        "language": config.rules.language_confidence,
        "near-duplicate": config.near_duplicates.threshold,
        "too-large": config.max_document_mb,
    }
    for rule, units in (
        ("repeated-lines", config.repeated_lines),
        ("repeated-paragraphs", config.repeated_paragraphs),
    ):
        if units is not None:
            limits[rule] = units.least_words_left
    return limits
