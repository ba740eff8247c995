"""Signatures: each against those of its single shingles, and as estimates of exact similarities."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import altered, jaccard, shingles

from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import fingerprint, signatures
from groundup.corpus.duplicates.normal_form import normalise
from made.prose import passages

WORDS = st.one_of(
    st.text("abc", min_size=1, max_size=3),
    st.text("abé漢", min_size=1, max_size=40),
    st.sampled_from(["eightbyt", "sixteenbyteslong", "seventeen_bytes_x", "x" * 100]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=40), st.integers(1, 6), st.integers(1, 40))
def test_a_signature_is_the_least_of_its_shingles(words: list[str], size: int, functions: int) -> None:
    """Wherever a shingle is, and whatever is around it, its hashes are the same."""
    config = NearDuplicates(shingle_words=size, bands=functions, rows=1)
    whole = signatures(pa.array([" ".join(words)], pa.string()), config)[0]
    single = [" ".join(words[at : at + size]) for at in range(len(words) - size + 1)]
    if not single:
        assert (whole == 0xFFFFFFFF).all()
        return
    each = signatures(pa.array(single, pa.string()), config)
    assert (whole == each.min(axis=0)).all()
    assert len({tuple(one) for one in each[:, :2].tolist()}) == len(set(single)) or functions == 1


def test_estimates_of_real_pairs_are_unbiased() -> None:
    """Agreeing rows estimate the Jaccard similarity, with the spread of independent trials."""
    config = NearDuplicates(bands=64, rows=8)
    random = np.random.default_rng(1)
    originals = passages(200, 300)
    copies = [altered(text, int(random.integers(1, 30)), random) for text in originals]
    forms = [normalise(pa.array(texts)) for texts in (originals, copies)]
    agree = (signatures(forms[0], config) == signatures(forms[1], config)).mean(axis=1)
    exact = np.array([jaccard(shingles(a, 5), shingles(b, 5)) for a, b in zip(originals, copies, strict=True)])
    errors = (agree - exact) / np.sqrt(exact * (1 - exact) / 512)
    assert abs(errors.mean()) < 4 / np.sqrt(300)  # four standard errors
    assert 0.8 < errors.std() < 1.2


def test_fingerprints_hold_the_signatures_of_normal_forms() -> None:
    """Documents agree in a band key if and only if they agree in its rows."""
    config = NearDuplicates()
    texts = pa.array(passages(60, 40) + ["too few words", "", "Exactly five words: here, now"])
    random = np.random.default_rng(2)
    texts = pa.concat_arrays([texts, pa.array([altered(text, 3, random) for text in texts.to_pylist()[:40]])])
    found = fingerprint(texts, config)
    signed = signatures(normalise(texts), config).reshape(len(texts), config.bands, config.rows)
    has = np.diff(found.offsets) > 0
    assert (~has).sum() == 2
    for band in range(config.bands):
        keys, rows = found.bands[has, band], signed[has, band]
        assert ((keys[:, None] == keys) == (rows[:, None] == rows).all(axis=2)).all()
    for at, text in enumerate(texts.to_pylist()):
        own = found.shingles[found.offsets[at] : found.offsets[at + 1]]
        assert len(own) == max(0, len(normalise(texts)[at].as_py().split()) - 4)
        assert len(np.unique(own)) == len(shingles(text, 5))


def test_digests_distinguish_bytes() -> None:
    texts = [
        "",
        "\0",
        "\0\0",
        "a",
        "a ",
        "A",
        "12345678",
        "123456780",
        "12345678\0",
        "é",
        "abcdefgh" * 3,
        "abcdefgh" * 4,
    ]
    found = fingerprint(pa.array([*texts, *texts]), NearDuplicates()).digests
    assert (found[: len(texts)] == found[len(texts) :]).all()
    assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == len(texts)


def test_texts_anywhere_in_memory() -> None:
    """A slice of an array, and the same texts alone, in arrays of both widths."""
    texts = passages(40, 6)
    alone = fingerprint(pa.array(texts[2:5]), NearDuplicates())
    for kind in (pa.string(), pa.large_string()):
        part = fingerprint(pa.array(texts, kind).slice(2, 3), NearDuplicates())
        for name in ("digests", "bands", "shingles", "offsets"):
            assert (getattr(part, name) == getattr(alone, name)).all()


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "--"]])
def test_nothing_to_hash(texts: list[str]) -> None:
    found = fingerprint(pa.array(texts, pa.string()), NearDuplicates())
    assert len(found) == len(texts)
    assert not len(found.shingles)
    assert (signatures(pa.array(texts, pa.string())) == 0xFFFFFFFF).all()
