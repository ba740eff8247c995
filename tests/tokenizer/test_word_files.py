"""Word counts in files: the same as in memory, however many tables they were put aside in."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.errors import GroundupError
from groundup.tokenizer import word_files
from groundup.tokenizer.word_counts import WordCounts, Words, count_words
from groundup.tokenizer.word_files import count_corpus, load_counts, merge_files, save_counts


def equal(one: Words, other: Words) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("text", "offsets", "counts"))


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("most", [200, 10**9])
def test_a_corpus_with_more_words_than_memory_holds(
    text: str, tmp_path: Path, most: int, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_files, "MAX_WORDS", most)
    monkeypatch.setattr(word_files, "ROWS_PER_GROUP", 100)
    parts = [[text[at : at + 5000]] for at in range(0, 60_000, 5000)]
    words = count_corpus(parts, "gpt2", tmp_path, threads=2, min_count=least)
    assert equal(words, count_words([part[0] for part in parts], "gpt2").rows(least))
    assert not list(tmp_path.iterdir())


def test_saved_tables_are_the_same_and_readable_elsewhere(text: str, tmp_path: Path) -> None:
    counts = count_words([text[:50_000], "🙂" * 40], "qwen2")
    save_counts(counts, tmp_path / "a.parquet")
    loaded = load_counts(tmp_path / "a.parquet")
    assert loaded.pattern == "qwen2"
    assert equal(loaded.rows(), counts.rows())
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["word"].to_pylist() == list(counts.rows().spelled())
    assert table["count"].to_pylist() == counts.rows().counts.tolist()
    again = count_words(["🙂" * 40], "qwen2")
    again.add([text[:50_000]])
    save_counts(again, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("parts", [1, 3])
def test_merged_files_are_the_table_of_the_whole(
    text: str, tmp_path: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_files, "ROWS_PER_GROUP", 100)
    whole = count_words([text[:60_000]], "gpt2")
    paths = []
    for part in range(parts):
        counts = WordCounts("gpt2")
        rows = whole.rows()
        part_of_each = rows.counts // parts + (rows.counts % parts > part)
        counts.add_words(Words.of({w: n for w, n in zip(rows.spelled(), part_of_each.tolist(), strict=True) if n}))
        paths.append(tmp_path / f"{part}.parquet")
        save_counts(counts, paths[-1])
    merge_files(paths, tmp_path / "merged.parquet")
    save_counts(whole, tmp_path / "whole.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    merge_files(paths, tmp_path / "frequent.parquet", min_count=3)
    assert equal(load_counts(tmp_path / "frequent.parquet").rows(), whole.rows(min_count=3))


def test_other_files_and_patterns_are_refused(tmp_path: Path) -> None:
    gpt2, qwen2 = tmp_path / "gpt2.parquet", tmp_path / "qwen2.parquet"
    save_counts(count_words(["a b"], "gpt2"), gpt2)
    save_counts(count_words(["a b"], "qwen2"), qwen2)
    with pytest.raises(GroundupError, match=r"qwen2\.parquet: holds words cut by the pattern qwen2, not gpt2"):
        merge_files([gpt2, qwen2], tmp_path / "out.parquet")
    with pytest.raises(GroundupError, match=r"gone\.parquet: can't be read"):
        load_counts(tmp_path / "gone.parquet")
    gpt2.write_bytes(gpt2.read_bytes()[:-50])
    with pytest.raises(GroundupError, match=r"gpt2\.parquet: can't be read"):
        load_counts(gpt2)
    pq.write_table(pa.table({"word": [b"a"], "count": [1]}), gpt2)
    with pytest.raises(GroundupError, match=r"gpt2\.parquet: holds no word counts"):
        load_counts(gpt2)
