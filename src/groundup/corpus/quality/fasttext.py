"""fastText's supervised classifier (Joulin et al., arXiv 1607.01759), by the extra `groundup[fasttext]`.

A model is the `.bin` that every fastText reads; DCLM's and others' quality classifiers come so. A text is shown to it
on one line, words parted by single spaces, as those were trained.

Trained here it is the same bytes each time. That takes one thread, and with one thread fastText 0.9.3 fills the first
tenth of its matrix with random numbers and leaves the rest as the memory is. Words come first in that matrix; the rest
is rows of runs of words, which do well from zero. Large blocks of memory come from the system as zeros, so the matrix
is made at least `_FRESH` bytes large, and glibc is told to ask the system for such blocks where it has been told, as by
training, to keep what is freed.
"""

import contextlib
import ctypes
import io
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.quality.configuration import EPOCHS, LEARNING_RATE, QualityTraining
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent

if TYPE_CHECKING:
    import pyarrow as pa

MODEL = "model.bin"
GOOD, BAD = "__label__good", "__label__bad"
_PREFIX = "__label__"
_GOOD_LABELS = (GOOD, f"{_PREFIX}hq", f"{_PREFIX}1", f"{_PREFIX}high", f"{_PREFIX}true")
_DIMENSIONS = 16
_FRESH = 64 << 20  # bytes; above glibc's largest threshold for blocks of their own (32 MB)


def _take_large_blocks_from_the_system() -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            m_mmap_max, usual = -4, 65536
            libc.mallopt(m_mmap_max, usual)


def library() -> Any:
    """The module `fasttext`.

    Raises:
        GroundupError: the extra is not installed.
    """
    try:
        import fasttext
    except ImportError as error:
        raise GroundupError(
            "the package fasttext is not installed",
            where="quality",
            do="install it with pip install 'groundup[fasttext]', or take kind: linear, which needs nothing",
        ) from error
    return fasttext


@dataclass(frozen=True)
class FastTextModel:
    """A fastText model with the label of good text."""

    kind: ClassVar[str] = "fasttext"
    file: ClassVar[str] = MODEL

    model: Any  # fasttext.FastText._FastText
    good_label: str = GOOD

    def margins(self, texts: "pa.Array") -> NDArray[np.float64]:
        """[texts] log odds of `good_label` against all others; 0 for a text without a word."""
        found = np.zeros(len(texts))
        for at, text in enumerate(texts.to_pylist()):
            line = one_line(text)
            if not line:
                continue
            labels, chances = self.model.predict(line, k=-1)
            chance = dict(zip(labels, chances, strict=True)).get(self.good_label, 0.0)
            chance = min(max(float(chance), 1e-7), 1 - 1e-7)
            found[at] = np.log(chance / (1 - chance))
        return found

    def facts(self) -> dict[str, Any]:
        return {"good_label": self.good_label}

    def save(self, path: Path) -> None:
        """Write the model as `.bin`."""
        self.model.save_model(str(path))

    @classmethod
    def load(cls, path: Path, facts: dict[str, Any]) -> "FastTextModel":
        """Raises GroundupError where it is no fastText classifier, or it is not plain which label is that of good."""
        fasttext = library()
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # it warns there of what does not concern us
                model = fasttext.load_model(str(path))
            labels = list(model.get_labels())
        except (ValueError, RuntimeError) as error:
            raise GroundupError(f"is no fastText model ({error})", where=str(path), do="name a .bin file") from error
        return cls(model, _good_label(labels, str(facts.get("good_label", "")), path))


def _good_label(labels: list[str], wanted: str, path: Path) -> str:
    known = [label for label in ([wanted] if wanted else _GOOD_LABELS) if label in labels]
    if len(labels) < 2 or len(known) != 1:
        raise GroundupError(
            f"which of its labels is that of good text? They are {', '.join(labels[:10])}",
            where=str(path),
            do=f"name it with good_label: {labels[0] if labels else '__label__good'}",
        )
    return known[0]


def one_line(text: str) -> str:
    """The words of a text with single spaces between them; fastText's mark of a label is taken out of it."""
    return " ".join(text.replace(_PREFIX, "").replace("\0", " ").split())


def train_fasttext(
    texts: "pa.Array", good: NDArray[np.bool_], config: QualityTraining, progress: Progress | None = None
) -> FastTextModel:
    """Fit a fastText model in one thread.

    Args:
        texts: Arrow strings without nulls.
        good: [texts] which of them are good.
        config: features, epochs, learning rate, seed.
        progress: where to show the work.

    Raises:
        GroundupError: the extra is missing, or training ran into NaN.
    """
    fasttext = library()
    _take_large_blocks_from_the_system()
    order = np.random.Generator(np.random.PCG64(config.seed)).permutation(len(texts))
    buckets = max(config.buckets, _FRESH // (4 * _DIMENSIONS))
    with tempfile.TemporaryDirectory() as folder, (progress or Silent()).task("training fastText", 1, "models") as task:
        path = Path(folder, "examples.txt")
        with path.open("w", encoding="utf-8") as file:
            file.writelines(_lines(texts, good, order))
        try:
            model = fasttext.train_supervised(
                str(path),
                lr=config.learning_rate or LEARNING_RATE["fasttext"],
                epoch=config.epochs or EPOCHS["fasttext"],
                wordNgrams=config.word_ngrams,
                dim=_DIMENSIONS,
                bucket=buckets,
                minCount=1,
                thread=1,
                seed=config.seed,
                verbose=0,
            )
        except RuntimeError as error:
            raise GroundupError(
                f"fastText could not be trained ({error})",
                where="quality",
                do="give a smaller learning_rate, or take kind: linear",
            ) from error
        task.advance()
    return FastTextModel(model)


def _lines(texts: "pa.Array", good: NDArray[np.bool_], order: NDArray[np.int64]) -> Iterable[str]:
    for at in order:
        yield f"{GOOD if good[at] else BAD} {one_line(texts[int(at)].as_py())}\n"
