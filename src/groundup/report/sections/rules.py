"""What each rule of curation means, in words."""

from groundup.corpus.configuration import CurateConfig
from groundup.report.run import Run
from groundup.report.wording import count

# rule -> what is wrong with a document that breaks it; {limit} is the threshold.
RULES = {
    "language": "in another language than {language}, with a confidence of {limit} or more",
    "min_language_confidence": "not identified as {language} with a confidence of {limit} or more",
    "min_words": "fewer than {limit} words",
    "max_words": "more than {limit} words",
    "min_mean_word_length": "words shorter than {limit} characters on average",
    "max_mean_word_length": "words longer than {limit} characters on average",
    "min_alphabetic_words": "less than {limit} of its words hold a letter",
    "min_stop_words": "fewer than {limit} of the commonest English words",
    "max_hashes_per_word": "more than {limit} hashes per word",
    "max_ellipses_per_word": "more than {limit} ellipses per word",
    "max_bullet_lines": "more than {limit} of its lines begin with a bullet",
    "max_ellipsis_lines": "more than {limit} of its lines end in an ellipsis",
    "max_duplicate_lines": "more than {limit} of its lines occur twice",
    "max_duplicate_line_characters": "more than {limit} of its characters are in lines that occur twice",
    "max_duplicate_paragraphs": "more than {limit} of its paragraphs occur twice",
    "max_duplicate_paragraph_characters": "more than {limit} of its characters are in such paragraphs",
    "max_top_bigram": "more than {limit} of its characters are one phrase of two words",
    "max_top_trigram": "more than {limit} of its characters are one phrase of three words",
    "max_top_fourgram": "more than {limit} of its characters are one phrase of four words",
    **{
        f"max_duplicate_{size}grams": f"more than {{limit}} of its characters are in repeated phrases of {size} words"
        for size in range(5, 11)
    },
    "min_sentences": "fewer than {limit} sentences",
    "max_curly_brackets": "more than {limit} curly brackets",
    "max_lorem_ipsum": "placeholder text (lorem ipsum)",
    "min_terminal_lines": "less than {limit} of its lines end as sentences do",
    "max_short_lines": "more than {limit} of its lines have 30 characters or fewer",
    "max_newlines_per_word": "more than {limit} lines per word",
    "max_mean_line_length": "lines longer than {limit} characters on average",
    "max_line_length": "a line of more than {limit} characters",
    "min_alphanumeric_characters": "less than {limit} of its characters are letters or digits",
    "max_generated_marks": "code that says of itself that it was generated",
    "url-domain": "from a domain on your list",
    "url-address": "from an address on your list",
    "url-word": "a word of your list in its address",
    "url-soft-words": "several words of your list in its address",
    "url-subword": "a part of a word of your list in its address",
    "contains-key": "a password of a machine",
    "contains-email": "an e-mail address",
    "contains-iban": "a bank account number",
    "contains-card": "a payment card number",
    "contains-ip": "an IP address",
    "contains-phone": "a telephone number",
    "contamination": "an item of an evaluation set",
    "quality": "a lower quality score than the documents that are kept",
    "exact-duplicate": "the same text as another document",
    "near-duplicate": "{limit} alike or more to a document that is kept (Jaccard)",
    "repeated-lines": "fewer than {limit} words of its own: its other lines occur in many documents",
    "repeated-paragraphs": "fewer than {limit} words of its own: its other paragraphs occur in many documents",
    "too-large": "larger than {limit} MB",
    "page-too-large": "a page too large to look into",
    "extraction-timeout": "a page that takes too long to make text of",
    "extraction-memory": "a page that takes too much memory to make text of",
    "not-importable": "its module can't be imported on this machine",
    "bad-python": "its source is no valid Python",
    "bad-json": "a row that is no JSON object",
    "no-text": "a page without text of its own",
    "binary": "not a text file",
    "invalid-utf-8": "text that is not UTF-8",
    "truncated": "a compressed file that ends too early",
    "corrupt": "a damaged file",
    "revisit": "a page that an archive has elsewhere",
    "unsupported-type": "a kind of file that is not read",
    "linked-folder": "a link to a folder",
    "not-a-file": "no regular file",
    "unreadable": "a file that can't be read",
}


def meaning(rule: str, run: Run) -> str:
    """The rule in words, with its threshold; empty for one that has none."""
    config = run.loaded.blueprint.curate
    limit = _limits(config).get(rule)
    shown = "" if limit is None else count(limit) if limit == int(limit) else f"{limit:g}"
    return RULES.get(rule, "").format(limit=shown, language=config.rules.language)


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
