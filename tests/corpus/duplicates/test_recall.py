"""Recall by formula and by brute force."""

from pathlib import Path

import numpy as np
import pytest
from worlds import altered, here, jaccard, prepared, searched, shingles

from groundup.corpus.duplicates import recall
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.near import duplicates_of
from made.prose import passages


def test_the_chance_of_a_pair_is_that_of_banding() -> None:
    """By adding up the binomial distribution of agreeing bands."""
    config = NearDuplicates(bands=14, rows=8)
    for similarity in (0.5, 0.72, 0.9):
        band = similarity**8
        none = np.prod([1 - band] * 14)
        assert float(recall.chance(similarity, config)) == pytest.approx(1 - none)
    assert float(recall.chance(0.72, config)) == pytest.approx(0.64, abs=0.02)  # near the threshold (1/b)^(1/r)


def test_measured_and_expected_agree_with_all_pairs(tmp_path: Path) -> None:
    """With bands that miss many pairs, both say how many."""
    config = NearDuplicates(threshold=0.6, bands=8, rows=6)
    random = np.random.default_rng(2)
    originals = passages(120, 500)
    texts = originals + [altered(text, int(random.integers(1, 8)), random) for text in originals]
    search = prepared(texts, tmp_path, config, [300, 301, 800], range_documents=200)
    found = searched(search)
    sets = [shingles(text, 5) for text in texts]
    true = [(at, at + 500) for at in range(500) if jaccard(sets[at], sets[at + 500]) >= config.threshold]
    gone = set(found.rows.tolist())
    missed = sum(not gone & set(pair) for pair in true)
    assert 20 < missed < len(true) / 2

    everything = recall.measured(search, here(tmp_path), sample=len(texts))
    assert everything == {
        "sample": 1000, "pairs": len(true), "missed": missed, "recall": 1 - missed / len(true)
    }  # fmt: skip
    some = recall.measured(search, here(tmp_path), sample=300)
    assert some["sample"] == 300 and 0.2 * len(true) < some["pairs"] < len(true)
    fraction = everything["recall"]
    assert some["recall"] == pytest.approx(fraction, abs=4 * np.sqrt(fraction * (1 - fraction) / some["pairs"]))
    said = recall.expected([recall.found_pairs(duplicates_of(search, part), config) for part in range(4)], config)
    assert said["recall"] == pytest.approx(fraction, abs=4 * np.sqrt(fraction * (1 - fraction) / len(true)))
    assert sum(said["similarities"].values()) == len(found.rows)
    assert next(iter(said["similarities"])) == "0.6"


def test_without_pairs_there_is_no_recall(tmp_path: Path) -> None:
    config = NearDuplicates()
    texts = passages(40, 3) + ["ab", "ab"]
    search = prepared(texts, tmp_path, config)
    assert searched(search).exact.tolist() == [True]
    assert recall.expected([recall.found_pairs(duplicates_of(search, 0), config)], config)["recall"] is None
    assert recall.measured(search, here(tmp_path)) == {"sample": 4, "pairs": 0, "missed": 0, "recall": None}
