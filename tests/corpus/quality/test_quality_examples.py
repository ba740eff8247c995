"""Examples: what is read, drawn and set apart does not depend on order or cutting; every mistake is named."""

import gzip
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import documents
from pydantic import ValidationError

from groundup.corpus.quality.configuration import Quality, QualityTraining
from groundup.corpus.quality.examples import label_of, read_examples
from groundup.errors import GroundupError


def write(path, rows):
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def rows_of(seed, count):
    texts, good = documents(seed, count)
    return [{"text": text, "label": int(one)} for text, one in zip(texts.to_pylist(), good, strict=True)]


def test_order_and_files_do_not_matter(tmp_path):
    """The same rows shuffled, in two files, gzipped, in parquet: the same examples in the same order."""
    rows = rows_of(1, 80)
    shuffled = random.Random(2).sample(rows, len(rows))
    write(tmp_path / "all.jsonl", rows)
    write(tmp_path / "a.jsonl.gz", shuffled[:30])
    pq.write_table(pa.Table.from_pylist(shuffled[30:]), tmp_path / "b.parquet")
    one = read_examples(QualityTraining(labelled=("all.jsonl",)), tmp_path)
    two = read_examples(QualityTraining(labelled=("b.parquet", "a.jsonl.gz")), tmp_path)
    assert len(one) == 80
    assert one.texts.equals(two.texts)
    assert np.array_equal(one.good, two.good)
    assert dict(zip(one.texts.to_pylist(), one.good.tolist(), strict=True)) == {
        row["text"]: bool(row["label"]) for row in rows
    }


def test_parting_is_by_the_text(tmp_path):
    """The held-out set has about the right size; a text is on the same side whatever else there is; none on both."""
    small = read_examples(QualityTraining(labelled=(write(tmp_path / "s.jsonl", rows_of(1, 300)),)), tmp_path)
    large = read_examples(
        QualityTraining(labelled=(write(tmp_path / "l.jsonl", rows_of(1, 300) + rows_of(2, 2000)),)), tmp_path
    )
    aside = [set(some.parted(0.2)[1].texts.to_pylist()) for some in (small, large)]
    learned = [set(some.parted(0.2)[0].texts.to_pylist()) for some in (small, large)]
    assert aside[0] <= aside[1]
    assert learned[0] <= learned[1]
    assert not aside[1] & learned[1]
    assert len(aside[1]) / len(large) == pytest.approx(0.2, abs=4 * (0.16 / len(large)) ** 0.5)
    assert len(large.parted(0.999999)[0]) <= 1


def test_duplicates_contradictions_and_empty_texts_are_counted(tmp_path):
    rows = rows_of(1, 20)
    rows += [*rows[:5], {"text": "  \n", "label": 1}]
    rows += [{"text": "both", "label": 0}, {"text": "both", "label": 1}]
    found = read_examples(QualityTraining(labelled=(write(tmp_path / "r.jsonl", rows),)), tmp_path)
    assert len(found) == 20
    assert found.skipped == {"called both good and bad": 2, "no text": 1, "repeated or not drawn": 5}


def test_a_draw_is_even_and_independent_of_order(tmp_path):
    """At most `documents` of each label, the same ones whatever the order, and the rest is counted."""
    rows = rows_of(3, 400)
    config = {"documents": 50}
    found = [
        read_examples(QualityTraining(labelled=(write(tmp_path / f"{n}.jsonl", some),), **config), tmp_path)
        for n, some in enumerate((rows, rows[::-1]))
    ]
    assert found[0].texts.equals(found[1].texts)
    assert int(found[0].good.sum()) == int((~found[0].good).sum()) == 50
    assert found[0].skipped == found[1].skipped == {"repeated or not drawn": 300}


def test_reference_against_the_crawl(tmp_path):
    """Good files and folders against bad ones, or against the texts of the crawl where no bad ones are named."""
    (tmp_path / "good").mkdir()
    for number in range(3):
        (tmp_path / "good" / f"{number}.txt").write_text(f"a good text, number {number}")
    write(tmp_path / "good.jsonl", [{"body": "another good text"}])
    write(tmp_path / "bad.jsonl", [{"body": f"bad {number}"} for number in range(4)])
    config = QualityTraining(good=("good", "good.jsonl"), bad=("bad.jsonl",), text="body")
    found = read_examples(config, tmp_path, crawl=["from the crawl"])
    assert (int(found.good.sum()), len(found)) == (4, 8)
    config = QualityTraining(good=("good",))
    found = read_examples(config, tmp_path, crawl=[f"crawled {number}" for number in range(7)])
    assert (int(found.good.sum()), len(found)) == (3, 10)
    with pytest.raises(GroundupError, match="3 good and 0 bad texts"):
        read_examples(config, tmp_path)


@pytest.mark.parametrize(("value", "good"), [(1, True), (0.0, False), (True, True), ("False", False), ("HQ", True),
                                             ("__label__cc", False)])  # fmt: skip
def test_labels(value, good):
    assert label_of(value, "x") is good


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": "x"}', r"r\.jsonl:2: there is no 'label'; the columns are text; name the columns"),
        ('{"text": 5, "label": 1}', r"r\.jsonl:2: 'text' holds no text"),
        ('{"text": "x", "label": 3}', r"r\.jsonl:2: the label 3 says neither good nor bad"),
        ('{"text": ', r"r\.jsonl:2: is no JSON"),
        ("[1]", r"r\.jsonl:2: is no JSON object"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, row, message):
    (tmp_path / "r.jsonl").write_text('{"text": "fine", "label": 1}\n' + row + "\n")
    with pytest.raises(GroundupError, match=message):
        read_examples(QualityTraining(labelled=("r.jsonl",)), tmp_path)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(GroundupError, match=r"none\.jsonl: no such file"):
        read_examples(QualityTraining(labelled=("none.jsonl",)), tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(GroundupError, match=r"x\.parquet: can't be read"):
        read_examples(QualityTraining(labelled=("x.parquet",)), tmp_path)
    (tmp_path / "x.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(GroundupError, match=r"x\.jsonl\.gz:1: can't be read \(corrupt\)"):
        read_examples(QualityTraining(labelled=("x.jsonl.gz",)), tmp_path)


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        (QualityTraining, {}, "name `labelled` files"),
        (QualityTraining, {"labelled": ["a"], "bad": ["b"]}, "`bad` needs `good`"),
        (QualityTraining, {"good": ["a"], "buckets": 5000}, "power of two"),
        (QualityTraining, {"good": ["a"], "kind": "fasttext", "word_ngrams": 1}, "2 or more"),
        (Quality, {"keep": 0.3}, "name a `model`"),
        (Quality, {"model": "m", "train": {"good": ["a"]}, "keep": 0.3}, "name a `model`"),
        (Quality, {"model": "m"}, "give `keep`"),
        (Quality, {"model": "m", "keep": 0.3, "threshold": 0.5}, "give `keep`"),
    ],
)
def test_configurations_that_make_no_sense(section, fields, message):
    with pytest.raises(ValidationError, match=message):
        section(**fields)
