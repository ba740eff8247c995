"""Repeated lines and paragraphs: against a count in plain Python, for any partitions."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import here, in_parts

from groundup.corpus.duplicates import repeated
from groundup.corpus.duplicates.configuration import NearDuplicates, RepeatedUnits
from groundup.corpus.duplicates.merit import CandidateRows
from groundup.corpus.duplicates.normal_form import normalised
from groundup.corpus.duplicates.repeated import Removed, Repeated, find_repeated, write_units
from groundup.corpus.duplicates.search import ROWS, DuplicateSearch
from groundup.corpus.duplicates.units import Unit, units_of
from groundup.corpus.finished import part_folder
from groundup.errors import GroundupError
from made.prose import passages


def plain_units(text: str, unit: Unit) -> list[str]:
    if unit == "line":
        return text.split("\n")
    blank = groupby(text.split("\n"), key=lambda line: not line.strip(" \t\r"))
    return ["\n".join(lines) for is_blank, lines in blank if not is_blank]


def removed(
    texts: Sequence[str], order: Sequence[int], cuts: Sequence[int], unit: Unit, config: RepeatedUnits, folder: Path,
    ranges: int = 3,
) -> Removed:  # fmt: skip
    """All three passes, each partition's documents in two batches."""
    array = pa.array(texts, pa.string())
    in_parts(["x"] * len(texts), cuts, folder / "own", NearDuplicates())
    search = DuplicateSearch(folder / "search", NearDuplicates(), folder / "own", len(cuts) + 1, range_documents=ranges)
    search.prepare()
    rank = np.full(len(texts), -1, dtype=np.int64)  # of those in the order, the best first
    rank[list(order)] = np.arange(len(order))
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(texts)], strict=True)):
        own, half = array.slice(first, last - first), (last - first) // 2
        units = [units_of(own.slice(0, half), unit, config), units_of(own.slice(half), unit, config, half)]
        part, decided = part_folder(folder / "own", number), part_folder(folder / "search" / "decided", number)
        write_units(part / "units", units, unit, config, last - first)
        ids = np.zeros((last - first, 2), np.uint64)
        CandidateRows(ids, -rank[first:last]).save(part / ROWS)
        decided.mkdir(parents=True)
        np.savez(decided / "ends.npz", end=(rank[first:last] < 0).astype(np.uint8))
    find_repeated(search, "decided/ends.npz", unit, "units", config, here(folder))
    return Repeated(folder / "search" / "units", unit, config).remove(array, np.arange(len(texts)))


LINES = st.sampled_from(["one two", "One  TWO!", "two three", "a b c", "x", "", " ", "1 2", "1 3"])
WORLD = st.lists(st.lists(LINES, max_size=7).map("\n".join), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(WORLD, st.sampled_from(["line", "paragraph"]), st.integers(2, 3), st.integers(1, 3), st.data())
def test_small_worlds(texts: list[str], unit: Unit, documents: int, words: int, data: st.DataObject) -> None:
    """What goes is what occurs in enough documents of the order, but for the best of these; the rest stays."""
    config = RepeatedUnits(least_documents=documents, least_words=words)
    order = data.draw(st.permutations(range(len(texts))))[: data.draw(st.integers(1, len(texts)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=2)))
    with TemporaryDirectory() as folder:
        found = removed(texts, order, cuts, unit, config, Path(folder))

    having: dict[str, list[int]] = {}
    for at in order:
        for form in dict.fromkeys(normalised(one, digits_alike=False) for one in plain_units(texts[at], unit)):
            having.setdefault(form, []).append(at)
    for at, text in enumerate(texts):
        units = [(one, normalised(one, digits_alike=False)) for one in plain_units(text, unit)]
        goes = [
            len(form.split()) >= words and len(having.get(form, [])) >= documents and having[form][0] != at
            for _, form in units
        ]
        assert found.units[at] == sum(goes)
        assert found.bytes[at] == sum(len(one) for (one, _), gone in zip(units, goes, strict=True) if gone)
        stays = " ".join(form for (_, form), gone in zip(units, goes, strict=True) if not gone).split()
        left = found.texts[at].as_py()
        assert normalised(left, digits_alike=False).split() == stays
        assert found.words_left[at] == len(stays)
        if not any(goes):
            assert left == text


def test_many_ranges_and_partitions_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real text with a notice in every third document, counted at once and in small pieces."""
    config = RepeatedUnits(least_documents=5)
    texts = [text.replace(". ", ".\n") for text in passages(120, 120)]
    notice = "This article is released under the terms of some licence."
    texts = [f"{text}\n\n{notice.upper()}" if at % 3 == 0 else text for at, text in enumerate(texts)]
    order = np.random.default_rng(1).permutation(len(texts))
    whole = removed(texts, order, [], "line", config, tmp_path / "whole", 1000)
    owner = next(at for at in order if at % 3 == 0)
    assert [at for at in range(len(texts)) if whole.units[at]] == [at for at in range(0, 120, 3) if at != owner]
    assert all(notice.upper() not in text.as_py() for at, text in enumerate(whole.texts) if at != owner)
    monkeypatch.setattr(repeated, "_ENTRIES", 50)
    assert removed(texts, order, [1, 40, 40, 90], "line", config, tmp_path / "pieces", 7).texts == whole.texts


@pytest.mark.parametrize("unit", ["line", "paragraph"])
def test_blank_lines_around_what_went(unit: Unit, tmp_path: Path) -> None:
    """None at either end, and no two in a row; those elsewhere stay."""
    menu = "Home | News | About us"
    texts = [
        f"{menu}\n\nThe first text\n\n\nis here.\n\n{menu}\n\nAnd it ends.\n\n{menu}",
        f"{menu}\nThe other\n\n{menu}\n\nis this.",
        menu,
    ]
    found = removed([*texts, menu], [3, 0, 1, 2], [], "line", RepeatedUnits(least_documents=2), tmp_path)
    assert found.texts.to_pylist()[:3] == [
        "The first text\n\n\nis here.\n\nAnd it ends.", "The other\n\nis this.", ""
    ]  # fmt: skip
    assert found.words_left.tolist() == [8, 4, 0, 4]
    assert found.units.tolist() == [3, 2, 1, 0]


def test_files_that_are_none(tmp_path: Path) -> None:
    config = RepeatedUnits()
    path = tmp_path / "units"
    write_units(path, [units_of(pa.array(["one two three four five"]), "line", config)], "line", config, 1)
    with pytest.raises(GroundupError, match="holds no paragraphs of these settings"):
        Repeated(path, "paragraph", config)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GroundupError, match="cut off or damaged"):
        Repeated(path, "line", config)
    with pytest.raises(GroundupError, match="can't be read"):
        Repeated(tmp_path / "none", "line", config)
