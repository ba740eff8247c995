"""Every rule that can drop or change a document: its name, what it means, and in what it measures.

The ledger names a document's end by one of these, the report and `what-if` put them into words, and the table in
docs/filters.md is drawn from them (`python tools/rules_table.py`). A new reason is first listed here: readers can't
give one that isn't.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from groundup.corpus.redaction.configuration import KINDS, NAMES

Step = Literal["reading", "extraction", "redaction", "urls", "lines", "rules", "contamination", "decisions", "repeated"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason.

    Args:
        name: as the ledger has it; a threshold's is its key in the blueprint.
        step: the step of curation that applies it.
        meaning: what is wrong with a document that breaks it, to be read after "is or has"; `{limit}` is the
            threshold, `{language}` the language of the rules.
        unit: of the measured value and the threshold in the ledger; empty where nothing is measured.
        changes: it takes a part out of a document, which stays.
    """

    name: str
    step: Step
    meaning: str
    unit: str = ""
    changes: bool = False

    def words(self, limit: float | None = None, language: str | None = None) -> str:
        """The meaning with its threshold; `_` replaces one that isn't given."""
        shown = "_" if limit is None else f"{limit:,.0f}" if limit == int(limit) else f"{limit:g}"
        return self.meaning.format(limit=shown, language=language or "the language that is kept")


def _rules(step: Step, rules: Iterable[tuple[str, ...]], changes: bool = False) -> Iterable[Rule]:
    """Rules from rows of name, meaning and, where something is measured, unit."""
    return (Rule(row[0], step, row[1], row[2] if len(row) > 2 else "", changes) for row in rules)


_READING = (
    ("unreadable", "a file that can't be read"),
    ("unsupported-type", "a kind of file that is not read"),
    ("not-a-file", "no regular file"),
    ("linked-folder", "a link to a folder"),
    ("outside-link", "a link to a file outside of the source's folder"),
    ("no-document", "a file without any document"),
    ("no-article", "what a wiki has besides articles: a template, a redirect, a line between them"),
    ("binary", "not a text file", "fraction of control characters, or byte"),
    ("invalid-utf-8", "text that is not UTF-8", "byte"),
    ("invalid-encoding", "text that is not in the character set that the blueprint names", "byte"),
    ("unknown-encoding", "text in a character set that can't be recognised"),
    ("too-large", "larger than {limit} MB", "bytes"),
    ("truncated", "a file or record that ends too early", "bytes"),
    ("corrupt", "a damaged file or record"),
    ("encrypted", "a file of an archive that needs a password"),
    ("nested-archive", "an archive inside another archive"),
    ("unsupported-compression", "compressed by a method that is not read"),
    ("unpacks-too-large", "a compressed file that grows too much", "bytes per compressed byte"),
    ("reading-failed", "a file or document at which its reader fails"),
    ("reading-timeout", "a file or document that takes too long to read", "seconds"),
    ("reading-memory", "a file or document that takes too much memory to read", "MB"),
    ("reading-crash", "a file or document that ends the reader's process"),
    ("bad-row", "a row of a table that can't be read"),
    ("source-code", "source code, in a source that does not ask for it"),
    ("needs-extra", "a kind of file that needs the extra `documents`"),
    ("bad-json", "a row that is no JSON object"),
    ("bad-python", "its source is no valid Python"),
    ("not-importable", "its module can't be imported on this machine"),
    ("http-status", "a page that the server did not deliver", "HTTP status"),
    ("crawl-log", "a crawler's notes about its own work"),
    ("revisit", "a page whose text is in another record of the archive"),
)

_EXTRACTION = (
    ("page-too-large", "a page too large to extract text from", "characters"),
    ("extraction-timeout", "a page whose extraction takes too long", "seconds"),
    ("extraction-memory", "a page whose extraction takes too much memory", "MB"),
    ("extraction-crash", "a page that ends the extractor's process"),
    ("extraction-failed", "a page at which the extractor fails"),
    ("no-text", "a page or row without text of its own"),
)

_URLS = (
    ("url-domain", "from a domain on your list"),
    ("url-address", "from an address on your list"),
    ("url-word", "a word of your list in its address"),
    ("url-soft-words", "several words of your list in its address", "words"),
    ("url-subword", "a part of a word of your list in its address"),
)

_LINES = (
    ("lines.max_word_length", "lines with a word that is too long"),
    ("lines.terminal_punctuation", "lines that don't end as sentences do"),
    ("lines.min_words", "lines of too few words"),
    ("lines.javascript", "lines about JavaScript"),
    ("lines.policies", "lines about terms of use, privacy or cookies"),
    ("lines.citations", "marks of citations"),
)

_THRESHOLDS = (
    ("language", "in another language than {language}, identified with a confidence of {limit} or more", "confidence"),
    ("min_language_confidence", "not identified as {language} with a confidence of {limit} or more", "confidence"),
    ("min_words", "fewer than {limit} words", "words"),
    ("max_words", "more than {limit} words", "words"),
    ("min_mean_word_length", "words shorter than {limit} characters on average", "characters per word"),
    ("max_mean_word_length", "words longer than {limit} characters on average", "characters per word"),
    ("min_alphabetic_words", "less than {limit} of its words with a letter", "fraction of words"),
    ("min_stop_words", "fewer than {limit} of the commonest English words", "different words"),
    ("max_hashes_per_word", "more than {limit} hashes per word", "per word"),
    ("max_ellipses_per_word", "more than {limit} ellipses per word", "per word"),
    ("max_bullet_lines", "more than {limit} of its lines beginning with a bullet", "fraction of lines"),
    ("max_ellipsis_lines", "more than {limit} of its lines ending in an ellipsis", "fraction of lines"),
    ("max_duplicate_lines", "more than {limit} of its lines twice", "fraction of lines"),
    (
        "max_duplicate_line_characters",
        "more than {limit} of its text in repeated lines",
        "fraction of characters",
    ),
    ("max_duplicate_paragraphs", "more than {limit} of its paragraphs twice", "fraction of paragraphs"),
    (
        "max_duplicate_paragraph_characters",
        "more than {limit} of its text in repeated paragraphs",
        "fraction of characters",
    ),
    ("max_top_bigram", "more than {limit} of its characters in one phrase of two words", "fraction of characters"),
    ("max_top_trigram", "more than {limit} of its characters in one phrase of three words", "fraction of characters"),
    ("max_top_fourgram", "more than {limit} of its characters in one phrase of four words", "fraction of characters"),
    *(
        (
            f"max_duplicate_{size}grams",
            f"more than {{limit}} of its characters in repeated phrases of {size} words",
            "fraction of characters",
        )
        for size in range(5, 11)
    ),
    ("min_sentences", "fewer than {limit} sentences", "sentences"),
    ("max_curly_brackets", "more than {limit} curly brackets", "brackets"),
    ("max_lorem_ipsum", "filler text (lorem ipsum)", "times"),
    ("min_terminal_lines", "less than {limit} of its lines ending as sentences do", "fraction of lines"),
    ("max_short_lines", "more than {limit} of its lines of 30 characters or fewer", "fraction of lines"),
    ("max_newlines_per_word", "more than {limit} lines per word", "per word"),
    ("max_mean_line_length", "lines longer than {limit} characters on average", "characters"),
    ("max_line_length", "a line of more than {limit} characters", "characters"),
    ("min_alphanumeric_characters", "less than {limit} of its characters letters or digits", "fraction of characters"),
    ("max_generated_marks", "generated code, by its own words", "marks"),
    ("max_code_characters", "more than {limit} of its text in code blocks", "fraction of characters"),
    ("max_table_characters", "more than {limit} of its text in tables", "fraction of characters"),
    ("max_code_line_length", "a line of more than {limit} characters in a code block", "characters"),
    ("min_code_alphanumeric_characters", "less than {limit} of its code letters or digits", "fraction of characters"),
)

_DECISIONS = (
    ("quality", "a lower quality score than the documents that are kept", "score"),
    ("exact-duplicate", "the same text as another document"),
    ("near-duplicate", "a similarity of {limit} or more to a document that is kept (Jaccard)", "similarity"),
)

_REPEATED = (
    ("repeated-lines", "fewer than {limit} words besides lines that are in many documents", "words left"),
    ("repeated-paragraphs", "fewer than {limit} words besides paragraphs that are in many documents", "words left"),
)

CONTAINS = "contains-"
"""The rule that drops a document for something private has the kind after this."""

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        *_rules("reading", _READING),
        *_rules("extraction", _EXTRACTION),
        *_rules("redaction", ((f"{CONTAINS}{kind}", NAMES[kind].one) for kind in KINDS)),
        *_rules("urls", _URLS),
        *_rules("lines", _LINES, changes=True),
        *_rules("rules", _THRESHOLDS),
        *_rules("contamination", [("contamination", "an item of an evaluation set", "words left")]),
        *_rules("decisions", _DECISIONS),
        *_rules("repeated", _REPEATED),
    )
}
"""Every rule by its name, in the order of the steps."""
