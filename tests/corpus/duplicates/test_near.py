"""What is dropped as a duplicate: against brute force over all pairs, on real text and on small worlds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import (
    all_pairs,
    altered,
    here,
    in_parts,
    jaccard,
    numbers_of,
    prepared,
    search,
    searched,
    shingles,
    triples,
)

from groundup.corpus.documents import document_id
from groundup.corpus.duplicates import near
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.merit import best_first
from groundup.corpus.duplicates.near import find
from groundup.corpus.duplicates.search import FINGERPRINTS, SCORES
from groundup.corpus.finished import part_folder
from groundup.errors import GroundupError
from made.prose import passages

CONFIG = NearDuplicates()
SURE = NearDuplicates(threshold=0.5, bands=24, rows=1)  # misses a pair of similarity .5 once in 10^7


def by_definition(texts: Sequence[str], config: NearDuplicates, earlier: Sequence[str] = ()) -> dict[int, tuple]:
    """{dropped: (kept, similarity)} by the words of the module, from exact sets of all pairs."""
    sets = [shingles(text, config.shingle_words, config.digits_alike) for text in (*earlier, *texts)]
    every, before = [*earlier, *texts], len(earlier)
    best = sorted(range(before, len(every)), key=lambda at: (-len(every[at].encode()), document_id(every[at]), at))
    kept, gone = list(range(before)), {}
    for at in best:
        for other in sorted(kept, key=lambda other: every[at] != every[other]):  # the same bytes before all others
            similarity = 1.0 if every[at] == every[other] else jaccard(sets[at], sets[other])
            if similarity >= config.threshold and (sets[at] or every[at] == every[other]):
                gone[at - before] = (other - before if other >= before else -1 - other, similarity)
                break
        else:
            kept.append(at)
    return gone


@pytest.fixture(scope="module")
def planted() -> tuple[list[str], list[float]]:
    """800 texts, of which the second half are copies of the first at similarities around .5 to .97."""
    random = np.random.default_rng(7)
    originals = passages(160, 400)
    copies = [altered(text, int(random.integers(1, 12)), random) for text in originals]
    similarities = [jaccard(shingles(a, 5), shingles(b, 5)) for a, b in zip(originals, copies, strict=True)]
    return originals + copies, similarities


def test_planted_copies_are_found_and_nothing_else(planted: tuple[list[str], list[float]], tmp_path: Path) -> None:
    texts, similarities = planted
    assert min(similarities) < 0.5 and max(similarities) > 0.95
    found = search(texts, tmp_path, CONFIG)
    sets = [shingles(text, 5) for text in texts]
    pairs = all_pairs(sets)
    true = {pair for pair, similarity in pairs.items() if similarity >= CONFIG.threshold}
    assert len(true) > 200
    gone = set(found.rows.tolist())
    for row, kept, similarity in triples(found):  # no false pair, and the reported similarity is the true one
        assert similarity == pytest.approx(pairs[max(row, kept), min(row, kept)], abs=1e-12)
        assert similarity >= CONFIG.threshold
        assert kept not in gone
    missed = [pair for pair in true if not gone & set(pair)]
    assert len(missed) / len(true) <= 0.01


def test_partitions_and_order_change_nothing(planted: tuple[list[str], list[float]], tmp_path: Path) -> None:
    texts = planted[0][::2] + planted[0][:40]  # with exact duplicates
    random = np.random.default_rng(3)
    counts: set[tuple[int, int]] = set()

    def dropped(order: Sequence[int], cuts: Sequence[int], name: str) -> list[tuple]:
        some = [texts[at] for at in order]
        ranges = int(random.integers(20, 2 * len(texts)))
        found = search(some, tmp_path / name, CONFIG, cuts, range_documents=ranges)
        counts.add((found.compared, found.candidates))
        return sorted((some[row], some[kept], similarity) for row, kept, similarity in triples(found))

    first = dropped(range(len(texts)), [], "whole")
    assert len(first) > 60
    for number in range(12):
        cuts = np.sort(random.integers(0, len(texts) + 1, random.integers(1, 9))).tolist()
        assert dropped(random.permutation(len(texts)), cuts, str(number)) == first
    assert len(counts) == 1  # of comparisons too


def test_little_memory_changes_nothing(
    planted: tuple[list[str], list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a block holds a few documents, those that they are compared with are read as they are needed."""
    texts = planted[0][:60] + planted[0][400:460]
    random = np.random.default_rng(4)
    texts += [altered(text, 4, random) for text in texts for _ in range(3)]
    whole = search(texts, tmp_path / "whole", CONFIG, [100, 300])
    assert len(whole.rows) > 100
    for room in (1, 900, 3000):
        monkeypatch.setattr(near, "SETS", room)
        some = search(texts, tmp_path / str(room), CONFIG, [7, 200])
        assert list(triples(some)) == list(triples(whole))
        assert some.compared == whole.compared


WORLD = st.lists(st.lists(st.sampled_from(["ab", "cd", "ef", "1", "2", "É"]), max_size=9).map(" ".join), max_size=14)


@settings(max_examples=60, deadline=None)
@given(WORLD, WORLD, st.integers(1, 3), st.data())
def test_small_worlds_by_definition(texts: list[str], earlier: list[str], size: int, data: st.DataObject) -> None:
    """Also with repetitions, an earlier corpus and any partitions."""
    config = SURE.model_copy(update={"shingle_words": size, "digits_alike": data.draw(st.booleans())})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    with TemporaryDirectory() as folder:
        found = search(texts, Path(folder), config, cuts, earlier, data.draw(st.sampled_from([3, 7, 99])))
    expected = by_definition(texts, config, earlier)
    assert {row: (kept, similarity) for row, kept, similarity in triples(found)} == expected
    everything = dict(enumerate(texts)) | {-1 - at: text for at, text in enumerate(earlier)}
    for row, kept, exact in zip(found.rows.tolist(), found.kept.tolist(), found.exact.tolist(), strict=True):
        assert exact == (everything[row] == everything[kept])


def test_documents_below_the_least_quality_take_no_part(tmp_path: Path) -> None:
    text = passages(60, 1)[0]
    texts = [text + " and more at the end", text, text + " or less"]

    def of(scores: list[float], name: str) -> list[tuple]:
        whole = prepared(texts, tmp_path / name, CONFIG, [1])
        for number, some in enumerate((scores[:1], scores[1:])):
            part_folder(tmp_path / f"{name}-scores", number).mkdir(parents=True)
            np.save(part_folder(tmp_path / f"{name}-scores", number) / SCORES, np.array(some, np.float32))
        return list(triples(searched(replace(whole, scores=tmp_path / f"{name}-scores", least_quality=0.5))))

    near = jaccard(shingles(texts[1], 5), shingles(texts[2], 5))
    assert of([0.1, 0.9, 0.8], "a") == [(2, 1, pytest.approx(near))]
    assert [kept for _, kept, _ in of([0.8, 0.9, 0.1], "b")] == [1]
    assert of([0.1, 0.1, 0.9], "c") == of([0.1, 0.2, 0.3], "d") == []


def test_best_first_by_quality_then_length_then_id() -> None:
    sizes = np.array([5, 9, 9, 9, 1], dtype=np.int64)
    ids = numbers_of(["ff" + "0" * 30, "0" * 31 + "2", "0" * 31 + "1", "0" * 31 + "1", "00" * 16])
    assert best_first(sizes, ids).tolist() == [2, 3, 1, 0, 4]
    quality = np.array([0.5, np.nan, 0.1, 0.5, 0.9], dtype=np.float32)
    assert best_first(sizes, ids, quality).tolist() == [4, 3, 0, 2, 1]


def test_a_chain_drops_no_document_that_resembles_none_kept(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    chain = [passages(160, 1)[0]]
    for _ in range(8):
        chain.append(altered(chain[-1], 4, random))
    found = search(chain, tmp_path, CONFIG)
    sets = [shingles(text, 5) for text in chain]
    assert jaccard(sets[0], sets[-1]) < 0.4
    assert 0 < len(found.rows) < len(chain) - 1
    assert all(jaccard(sets[row], sets[kept]) >= CONFIG.threshold for row, kept, _ in triples(found))


def test_an_exact_duplicate_of_what_goes_goes_for_what_stays(tmp_path: Path) -> None:
    text = passages(100, 1)[0]
    found = search([text, text + " and more", text, "ab", "ab"], tmp_path, CONFIG)
    assert found.rows.tolist() == [0, 2, 4]
    assert found.kept.tolist() == [1, 1, 3]
    assert found.exact.tolist() == [False, False, True]
    assert found.similarity[0] == found.similarity[1] == jaccard(shingles(text, 5), shingles(text + " and more", 5))


def test_digits_are_alike_or_not(tmp_path: Path) -> None:
    texts = [f"base64.b{base}encode(s)\n\nEncode s using Base{base} and return the encoded bytes." for base in (16, 32)]
    assert len(search(texts, tmp_path, NearDuplicates(digits_alike=True)).rows) == 1
    assert len(search(texts, tmp_path / "apart", CONFIG).rows) == 0  # not unless asked for


def test_documents_without_shingles_are_only_exact_duplicates(tmp_path: Path) -> None:
    texts = ["one two three four", "One two three, four!", "one two three four", "", "", "--"]
    found = search(texts, tmp_path, CONFIG)
    assert list(triples(found)) == [(2, 0, 1.0), (4, 3, 1.0)]
    assert found.exact.all()


def test_a_crowd_of_copies_is_compared_with_the_best_alone(tmp_path: Path) -> None:
    """2,000 copies of one document make some 2,000 comparisons, not two million."""
    text = passages(100, 1)[0]
    found = search([text, *(f"{text} {'x' * (at % 50 + 1)}{at}" for at in range(2000))], tmp_path, CONFIG, [900])
    assert len(found.rows) == 2000
    assert len(set(found.kept.tolist())) == 1
    assert found.compared <= 2100


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    texts = passages(40, 3)
    whole = prepared(texts, tmp_path, CONFIG)
    path = part_folder(tmp_path / "own", 0) / FINGERPRINTS
    with pytest.raises(GroundupError, match=r"fingerprints.bin: fingerprints were made with other settings; remove it"):
        find(replace(whole, config=NearDuplicates(rows=4)), here(tmp_path))
    data = path.read_bytes()
    path.write_bytes(data[:-8])
    with pytest.raises(GroundupError, match="cut off or damaged"):
        whole.prepare()
    path.write_bytes(b"x" * 100)
    with pytest.raises(GroundupError, match="no file of fingerprints"):
        whole.prepare()
    path.unlink()
    with pytest.raises(GroundupError, match="can't be read"):
        whole.prepare()


def test_a_part_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    """All at once or batch by batch; and none remains after an error."""
    import pyarrow as pa

    from groundup.corpus.duplicates.fingerprints import FingerprintWriter

    texts = passages(40, 9)
    in_parts(texts, [], tmp_path / "whole", CONFIG)
    with FingerprintWriter(tmp_path / "batches", CONFIG) as writer:
        for start in (0, 2, 7):
            writer.write(pa.array(texts[start : {0: 2, 2: 7, 7: 9}[start]]))
    assert (tmp_path / "batches").read_bytes() == (part_folder(tmp_path / "whole", 0) / FINGERPRINTS).read_bytes()
    with pytest.raises(ZeroDivisionError), FingerprintWriter(tmp_path / "failed", CONFIG):
        raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batches", "whole"]
