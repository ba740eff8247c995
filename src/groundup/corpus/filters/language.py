"""Which language a text is in, and when the answer is good enough to act on.

Code, signatures and names look like no language, so only words made of letters are shown to the model (`words.py`).
Fewer than `MIN_BYTES` bytes of them are too few: of the standard library's docstrings, all English, py3langid takes a
quarter of those below 25 bytes for another language, 5 % of those below 100, and none of the longer ones. A text with
too few is called `und`, undetermined, and no language rule may drop it; but where most letters are of another script
than Latin it is `und-Kore` or `und-Cyrl`, and dropped by a language that is not written so. The script goes before the
model's word.

Languages are named by their code of two letters (ISO 639-1), or of three where they have none of two.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.configuration import LanguageConfig

if TYPE_CHECKING:
    import pyarrow as pa

    from groundup.kernels.arrow import Bytes, Offsets

MIN_BYTES = 100  # UTF-8 bytes of letters: some 20 English words, or 33 Chinese characters
UNDETERMINED = "und"  # and `und-Cyrl`, where the script is known


def undetermined(code: str) -> bool:
    """Whether a text's language is not known."""
    return code.partition("-")[0] in ("", UNDETERMINED)


def differs(code: str, language: str) -> bool:
    """Whether a text of this code is in another language than `language`, as far as is known."""
    if not undetermined(code):
        return code != language
    from groundup.corpus.filters.scripts import written_in

    script = code.partition("-")[2]
    return bool(script) and not written_in(language, script)


class LanguageModel(Protocol):
    """A model that identifies the languages of texts with enough words."""

    def predict(self, data: "Bytes", offsets: "Offsets") -> tuple[list[str], NDArray[np.float32]]:
        """The language of each text and the probability of it; text i is `data[offsets[i]:offsets[i + 1]]`."""


def load(config: LanguageConfig, base: Path = Path()) -> LanguageModel:
    """The model that the configuration names.

    Args:
        config: the section `curate.language`.
        base: relative paths start here.

    Raises:
        GroundupError: the model's file is missing or no fastText model, or fastText is not installed.
    """
    if config.model is None:
        from groundup.corpus.filters.naive_bayes import bundled

        return bundled()
    from groundup.corpus.filters.fasttext_model import FastText

    return FastText(base / config.model.expanduser())


def identify_many(texts: "pa.Array", model: LanguageModel | None = None) -> tuple[list[str], NDArray[np.float32]]:
    """The language of each text, and the model's probability of it; `und` and 0 where there are too few words.

    Where the model says none, or one that is not written in the script of most letters: `und-` with the name of that
    script, and its fraction of the letters.

    Args:
        texts: [rows] strings or large strings, without nulls.
        model: of `load`; without it, py3langid's.
    """
    from groundup.corpus.filters.scripts import scripts_of, written_in
    from groundup.corpus.filters.words import words_of
    from groundup.kernels.arrow import buffers

    scripts, fractions = scripts_of(*buffers(texts))
    words, offsets, sizes = words_of(*buffers(texts))
    enough = np.flatnonzero(sizes >= MIN_BYTES)
    codes, confidences = [UNDETERMINED] * len(sizes), np.zeros(len(sizes), np.float32)
    if len(enough):
        if len(enough) < len(sizes):
            words, offsets = _chosen(words, offsets, enough)
        found, confidences[enough] = (model or load(LanguageConfig())).predict(words, offsets)
        for at, code in zip(enough.tolist(), found, strict=True):
            codes[at] = code
    for at, script in enumerate(scripts):
        if script and (codes[at] == UNDETERMINED or not written_in(codes[at], script)):
            codes[at], confidences[at] = f"{UNDETERMINED}-{script}", fractions[at]
    return codes, confidences


def _chosen(data: "Bytes", offsets: "Offsets", which: NDArray[np.int64]) -> tuple["Bytes", "Offsets"]:
    """These texts alone; `data` holds nothing else than the texts."""
    starts, sizes = np.zeros(len(which) + 1, np.int64), np.diff(offsets)
    np.cumsum(sizes[which], out=starts[1:])
    wanted = np.zeros(len(sizes), np.bool_)
    wanted[which] = True
    return data[np.repeat(wanted, sizes)], starts
