"""fastText's supervised classifier (Joulin et al., arXiv 1607.01759), by the extra `groundup[fasttext]`.

A model is the `.bin` that every fastText reads; DCLM's and others' quality classifiers come so. A text is shown to it
on one line, words parted by single spaces, as those were trained.

Trained here it is the same bytes each time. That takes one thread, and with one thread fastText 0.9.3 fills the first
tenth of its matrix with random numbers and leaves the rest as the memory is. Words come first in that matrix; the rest
is rows of runs of words, which do well from zero. Large blocks of memory come from the system as zeros, in a process
that has no used memory left over: so training gets a process of its own, and a matrix of at least `_FRESH` bytes.
"""

import contextlib
import io
import json
import subprocess
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
_TRAINER = """
import json, sys, fasttext
_, examples, made, options = sys.argv
try:
    fasttext.train_supervised(examples, **json.loads(options)).save_model(made)
except RuntimeError as error:
    sys.exit(str(error))
"""
_FRESH = 64 << 20  # bytes; above glibc's largest threshold for blocks of their own (32 MB)


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
    library()
    order = np.random.Generator(np.random.PCG64(config.seed)).permutation(len(texts))
    options = {
        "lr": config.learning_rate or LEARNING_RATE["fasttext"],
        "epoch": config.epochs or EPOCHS["fasttext"],
        "wordNgrams": config.word_ngrams,
        "dim": _DIMENSIONS,
        "bucket": max(config.buckets, _FRESH // (4 * _DIMENSIONS)),
        "minCount": 1,
        "thread": 1,
        "seed": config.seed,
        "verbose": 0,
    }
    with tempfile.TemporaryDirectory() as folder, (progress or Silent()).task("training fastText", 1, "models") as task:
        examples, made = Path(folder, "examples.txt"), Path(folder, MODEL)
        with examples.open("w", encoding="utf-8") as file:
            file.writelines(_lines(texts, good, order))
        trainer = [sys.executable, "-P", "-c", _TRAINER, str(examples), str(made), json.dumps(options)]
        done = subprocess.run(trainer, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GroundupError(
                f"fastText could not be trained ({done.stderr.strip() or f'exit status {done.returncode}'})",
                where="quality",
                do="give a smaller learning_rate, or take kind: linear",
            )
        task.advance()
        return FastTextModel.load(made, {"good_label": GOOD})


def _lines(texts: "pa.Array", good: NDArray[np.bool_], order: NDArray[np.int64]) -> Iterable[str]:
    for at in order:
        yield f"{GOOD if good[at] else BAD} {one_line(texts[int(at)].as_py())}\n"
