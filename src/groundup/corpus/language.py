"""Which language a text is in, by py3langid's bundled model, and when its word is good enough to act on.

Code, signatures and names look like no language, so only words made of letters are shown to the model. Fewer than
`MIN_BYTES` bytes of them are too few: of the standard library's docstrings, all English, it takes a quarter of those
below 25 bytes for another language, 5 % of those below 100, and none of the longer ones. A text with too few is called
`und`, undetermined, and no language rule may drop it.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

MIN_BYTES = 100  # UTF-8 bytes of letters: some 20 English words, or 33 Chinese characters
MAX_CHARACTERS = 1000  # more of a text changes no answer
UNDETERMINED = "und"

_SCANNED = 8 * MAX_CHARACTERS
# Letters of any script with their combining marks; of ASCII only letters, apostrophe and hyphen.
_WORD = re.compile(r"(?<!\S)[\"(\[]*([A-Za-z\u00aa-\U0010ffff][A-Za-z'\-\u00aa-\U0010ffff]*)[\").\],;:!?]*(?!\S)")


@dataclass(frozen=True, slots=True)
class Language:
    """`code` is ISO 639-1; `confidence` the model's probability of it."""

    code: str
    confidence: float


def identify(text: str) -> Language:
    """The language of a text; `und` with confidence 0 where it has too few words to tell."""
    words = " ".join(_WORD.findall(text[:_SCANNED]))[:MAX_CHARACTERS]
    if len(words.encode()) - words.count(" ") < MIN_BYTES:
        return Language(UNDETERMINED, 0.0)
    code, confidence = _identifier().classify(words)
    return Language(code, float(confidence))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
