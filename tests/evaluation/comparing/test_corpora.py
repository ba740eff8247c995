"""Two corpora are compared on the documents in both held-out sets, and only on those."""

import math

import numpy as np
import pytest

from groundup.errors import GroundupError
from groundup.evaluation.comparing.corpora import common_documents, compare_corpora

SIZES = {f"d{index}": 100 + index for index in range(60)}


def test_the_difference_is_in_bits_per_byte_of_common_documents() -> None:
    """The second side needs .1 bits more for each byte; documents of one side alone change nothing."""
    random = np.random.default_rng(0)
    first = {name: (2 + random.normal(0, 0.5)) * size * math.log(2) for name, size in SIZES.items()}
    second = {name: nats + 0.1 * SIZES[name] * math.log(2) for name, nats in first.items() if name != "d0"}
    found = compare_corpora(SIZES, first, second | {"only here": 1e9}, seed=0)
    assert found.documents == 59
    assert found.difference.mean == pytest.approx(0.1) and found.bits[1] - found.bits[0] == pytest.approx(0.1)
    assert found.difference.high - found.difference.low < 1e-6  # paired: how hard a document is cancels out


def test_luck_over_documents_is_in_the_interval() -> None:
    random = np.random.default_rng(1)
    first = {name: 2.0 * size * math.log(2) for name, size in SIZES.items()}
    second = {name: nats * (1 + random.normal(0, 0.1)) for name, nats in first.items()}
    found = compare_corpora(SIZES, first, second, seed=0)
    assert found.difference.low < 0 < found.difference.high


def test_too_few_in_common_are_refused() -> None:
    with pytest.raises(GroundupError, match=r"curate\.heldout: only 3 held-out documents are in both"):
        compare_corpora(SIZES, {f"d{index}": 1.0 for index in range(3)}, dict.fromkeys(SIZES, 1.0), 0)


def test_common_documents_have_text_and_are_in_both_sets() -> None:
    """Asked with ids alone, before anything is trained."""
    sides = dict.fromkeys(SIZES, 100), dict.fromkeys([*list(SIZES)[:25], "other"], 100)
    assert common_documents({**SIZES, "d3": 0}, *sides) == [f"d{index}" for index in range(25) if index != 3]
