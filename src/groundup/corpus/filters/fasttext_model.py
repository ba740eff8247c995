"""A fastText model for language identification: lid.176, GlotLID, or your own with labels such as `__label__en`."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.language_codes import short
from groundup.errors import GroundupError
from groundup.kernels.arrow import Bytes, Offsets

_LABEL = "__label__"


class FastText:
    """A fastText `.bin` or `.ftz`.

    Labels are `__label__en` or, as GlotLID has them, `__label__eng_Latn`: the script is skipped, and a language that
    has a code of two letters is named by it.

    Args:
        path: the model's file.

    Raises:
        GroundupError: it is missing or no such model, or fastText is not installed.
    """

    def __init__(self, path: Path) -> None:
        where = f"curate.language.model {path}"
        try:
            import fasttext
        except ImportError as error:
            raise GroundupError(
                "fastText is not installed", where=where, do="pip install 'groundup[fasttext]', or leave the model out"
            ) from error
        if not path.is_file():
            raise GroundupError("there is no such file", where=where, do="name a fastText model (.bin or .ftz)")
        try:
            self._model = fasttext.load_model(str(path))
        except ValueError as error:  # what its C++ side raises for any file that it can't read
            raise GroundupError(f"is no fastText model ({error})", where=where, do="name another file") from error
        labels = self._model.get_labels()
        if not labels or not all(label.startswith(_LABEL) for label in labels):
            raise GroundupError(
                "is a fastText model without labels", where=where, do="name one for language identification"
            )

    def predict(self, data: Bytes, offsets: Offsets) -> tuple[list[str], NDArray[np.float32]]:
        """The most likely language of each text and its probability; texts hold no newline."""
        texts = [data[start:end].tobytes().decode() for start, end in pairwise(offsets)]
        labels, probabilities = self._model.predict(texts)
        codes = [short(each[0].removeprefix(_LABEL)) for each in labels]
        # fastText's probabilities may exceed 1 by a rounding.
        return codes, np.minimum(np.array([each[0] for each in probabilities], dtype=np.float32), 1.0)
