"""The statistics, in the order of the table's columns; a rule's key is `min_` or `max_` and one of these names."""

COUNTS = ("words", "stop_words", "sentences", "curly_brackets", "lorem_ipsum", "line_length", "generated_marks")
"""Those that are whole numbers."""

STATISTICS = (
    *("words", "mean_word_length", "alphabetic_words", "stop_words", "hashes_per_word", "ellipses_per_word"),
    *("bullet_lines", "ellipsis_lines"),
    *("duplicate_lines", "duplicate_line_characters", "duplicate_paragraphs", "duplicate_paragraph_characters"),
    *("top_bigram", "top_trigram", "top_fourgram"),
    *("duplicate_5grams", "duplicate_6grams", "duplicate_7grams"),
    *("duplicate_8grams", "duplicate_9grams", "duplicate_10grams"),
    *("sentences", "curly_brackets", "lorem_ipsum"),
    *("terminal_lines", "short_lines", "newlines_per_word"),
    *("mean_line_length", "line_length", "alphanumeric_characters", "generated_marks"),
)

CODE_STATISTICS = ("code_characters", "table_characters", "code_line_length", "code_alphanumeric_characters")
"""Of what is not prose (`prose.py`)."""

WHOLE_TEXT = ("words", "mean_line_length", "line_length", "alphanumeric_characters", "generated_marks")
"""The statistics that count everything, also for rules that are measured on prose."""

OF_PROSE = tuple(name for name in STATISTICS if name not in WHOLE_TEXT)
"""Those that a rule may measure on the prose."""

PROSE = "prose_"
"""How the columns begin that hold the statistics of the prose, where that is not the whole text."""

WORDS, MEAN_WORD_LENGTH, ALPHABETIC_WORDS, STOP_WORDS, HASHES_PER_WORD, ELLIPSES_PER_WORD = range(6)
BULLET_LINES, ELLIPSIS_LINES = 6, 7
DUPLICATE_LINES, DUPLICATE_LINE_CHARACTERS, DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARACTERS = range(8, 12)
TOP_BIGRAM = 12  # and then those of three and four words
DUPLICATE_5GRAMS = 15  # and then those of six to ten words
SENTENCES, CURLY_BRACKETS, LOREM_IPSUM = range(21, 24)
TERMINAL_LINES, SHORT_LINES, NEWLINES_PER_WORD = range(24, 27)
MEAN_LINE_LENGTH, LINE_LENGTH, ALPHANUMERIC_CHARACTERS, GENERATED_MARKS = range(27, 31)
