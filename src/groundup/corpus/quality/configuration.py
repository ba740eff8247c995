"""The `curate.quality:` section: a classifier of how similar a text is to those that you called good."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from groundup.section import Section

Kind = Literal["linear", "fasttext"]

EPOCHS: dict[Kind, int] = {"linear": 10, "fasttext": 25}
LEARNING_RATE: dict[Kind, float] = {"linear": 0.05, "fasttext": 0.5}


class QualityTraining(Section):
    """What the classifier learns from: labelled files, or examples of good text against examples of bad."""

    incidental: ClassVar[frozenset[str]] = frozenset({"labelled", "good", "bad"})

    kind: Kind = "linear"
    """`linear` needs nothing; `fasttext` needs the extra `groundup[fasttext]` and writes a `.bin` that others read."""
    labelled: tuple[Path, ...] = ()
    """Files of rows with a text and a label: jsonl or parquet, jsonl also in .gz, .bz2 or .zst."""
    text: str = "text"
    """The column that holds the text, also in jsonl and parquet files of `good` and `bad`."""
    label: str = "label"
    """The column of `labelled` that holds the label: 1, true, good, high or hq; 0, false, bad, low or cc."""
    good: tuple[Path, ...] = ()
    """Files or folders of good text, a document each or one a row."""
    bad: tuple[Path, ...] = ()
    """The same of bad text. If missing: a sample of the sources that are curated."""
    documents: int = Field(default=200_000, ge=1)
    """Most documents taken of the good and of the bad each, evenly drawn (DCLM, arXiv 2406.11794: 200,000)."""
    heldout: float = Field(default=0.2, gt=0, lt=1)
    """Fraction of the examples that is not learned from but measured with, chosen by the hash of the text."""
    word_ngrams: int = Field(default=2, ge=1, le=5)
    """Longest run of words that counts as one feature."""
    buckets: int = Field(default=1 << 20, ge=1 << 10, le=1 << 26)
    """Weights of the linear model, 4 bytes each; a power of two. fasttext: rows for runs of words."""
    epochs: int | None = Field(default=None, ge=1)
    """Times that every example is seen; by default 10 (linear), 25 (fasttext)."""
    learning_rate: float | None = Field(default=None, gt=0)
    """By default .05 (linear, Adagrad), .5 (fasttext, falling to 0)."""
    folds: int = Field(default=5, ge=2)
    """Parts into which the examples are cut to calibrate the score: each is scored by a model of the other parts."""
    seed: int = 1337

    @model_validator(mode="after")
    def _has_examples(self) -> Self:
        if not self.labelled and not self.good:
            raise ValueError("name `labelled` files, or `good` ones, to learn from")
        if self.bad and not self.good:
            raise ValueError("`bad` needs `good` next to it")
        if self.buckets & (self.buckets - 1):
            raise ValueError("`buckets` must be a power of two")
        if self.kind == "fasttext" and self.word_ngrams == 1:
            raise ValueError(
                "fasttext needs `word_ngrams` of 2 or more: with 1 its trainer reads memory it never wrote"
            )
        return self


class Quality(Section):
    """A classifier's score, 0 to 1, for every document; documents below a threshold are dropped."""

    incidental: ClassVar[frozenset[str]] = frozenset({"model"})

    model: Path | None = None
    """A folder that `groundup corpus quality train` wrote, or a fastText model (`.bin`)."""
    good_label: str = ""
    """Of a fastText model from elsewhere: the label of good text (`__label__hq`). Not needed where it is plain."""
    train: QualityTraining | None = None
    """Or what to train one from."""
    keep: float | None = Field(default=None, gt=0, le=1)
    """Keep this fraction of the documents, the best: the threshold follows from their scores."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Or the least score that is kept."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.model is None) == (self.train is None):
            raise ValueError("name a `model`, or what to `train` one from")
        if (self.keep is None) == (self.threshold is None):
            raise ValueError("give `keep` (the fraction of documents, .3) or `threshold` (the least score)")
        return self
