"""fastText through the extra: trains the same bytes each time, reads models from elsewhere, says when it is missing."""

import sys

import numpy as np
import pyarrow as pa
import pytest
from made_up import documents

from groundup.corpus.quality.configuration import QualityTraining
from groundup.corpus.quality.fasttext import FastTextModel, one_line, train_fasttext
from groundup.corpus.quality.model import load
from groundup.errors import GroundupError
from groundup.parallel.device import settle

fasttext = pytest.importorskip("fasttext")


def config(**fields):
    return QualityTraining(good=("x",), kind="fasttext", **fields)


def test_it_learns_repeats_and_is_read_by_fasttext(tmp_path):
    """Two trainings give the same file, though memory was used in between, and kept; fastText itself reads it and says
    the same as our scores."""
    settle()
    texts, good = documents(1, 400)
    train_fasttext(texts, good, config(epochs=5)).save(tmp_path / "a.bin")
    dirt = [np.full(1 << 20, np.nan, np.float32) for _ in range(80)]
    del dirt
    model = train_fasttext(texts, good, config(epochs=5))
    model.save(tmp_path / "b.bin")
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    unseen, truth = documents(2, 300)
    margins = model.margins(unseen)
    assert np.mean((margins > 0) == truth) > 0.8

    theirs = fasttext.load_model(str(tmp_path / "a.bin"))
    read = load(tmp_path / "a.bin")
    assert np.array_equal(read.classifier.margins(unseen), margins)
    for text, score in zip(unseen.to_pylist()[:20], read.scores(unseen)[:20], strict=True):
        labels, chances = theirs.predict(one_line(text), k=2)
        assert score == pytest.approx(dict(zip(labels, chances, strict=True))["__label__good"], abs=1e-5)


def test_a_model_from_elsewhere_names_its_label(tmp_path):
    """DCLM's labels are known; others must be given; what is no model is named."""
    for labels, wanted in ((("hq", "cc"), ""), (("wiki", "crawl"), "__label__wiki")):
        path = tmp_path / "train.txt"
        path.write_text("".join(f"__label__{label} {label} text of it\n" for label in labels for _ in range(20)))
        # ten threads, of which each fills a tenth of the matrix
        trained = fasttext.train_supervised(str(path), dim=16, bucket=1 << 12, wordNgrams=2, thread=10, verbose=0)
        trained.save_model(str(tmp_path / "m.bin"))
        scores = load(tmp_path / "m.bin", wanted).scores(pa.array([f"{labels[0]} text", f"{labels[1]} text"]))
        assert scores[0] >= scores[1]
    with pytest.raises(GroundupError, match=r"m\.bin: which of its labels .* __label__wiki, __label__crawl; name it"):
        load(tmp_path / "m.bin")
    (tmp_path / "no.bin").write_bytes(b"no model at all")
    with pytest.raises(GroundupError, match="is no fastText model"):
        load(tmp_path / "no.bin")


def test_texts_that_would_break_its_lines():
    """Line breaks, labels and NULs in a text are no examples of their own; a text without words has even odds."""
    assert one_line("a\nb\r\n\tc\0d __label__bad e") == "a b c d bad e"
    texts, good = documents(5, 60)
    odd = pa.array(["__label__bad\n__label__bad x", "", "\0", *texts.to_pylist()])
    model = train_fasttext(odd, np.concatenate([[True, False, True], good]), config(epochs=1))
    assert sorted(model.model.get_labels()) == ["__label__bad", "__label__good"]
    assert model.margins(pa.array(["", " \n"])).tolist() == [0.0, 0.0]


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(GroundupError, match=r"pip install 'groundup\[fasttext\]'"):
        FastTextModel.load(tmp_path / "x.bin", {})


def test_training_that_runs_away_is_an_error():
    texts, good = documents(5, 60)
    with pytest.raises(GroundupError, match=r"could not be trained \(Encountered NaN.*smaller learning_rate"):
        train_fasttext(texts, good, config(epochs=5, learning_rate=1e6))
