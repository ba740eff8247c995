"""The peers of the benchmark `corpus`: functions that a fresh process calls, which return seconds for a file's texts.

Every peer runs as its documentation shows it, on text in memory; reading the file is not counted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import best

PERMUTATIONS = 112  # FineWeb's 14 bands of 8
SHINGLE_WORDS = 5


def texts_of(path: str) -> list[str]:
    """The column `text`."""
    import pyarrow.parquet as pq

    texts: list[str] = pq.read_table(path, columns=["text"])["text"].to_pylist()
    return texts


def datatrove_signatures(path: str, permutations: int) -> float:
    """Datatrove's first MinHash step with FineWeb's rows of 8, with its own normalisation and words (spaCy)."""
    import tempfile

    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts_of(path))]
    with tempfile.TemporaryDirectory() as folder:
        config = MinhashConfig(n_grams=SHINGLE_WORDS, num_buckets=permutations // 8, hashes_per_bucket=8)
        step = MinhashDedupSignature(output_folder=str(Path(folder) / "signatures"), config=config)
        return best(lambda: step.run(documents, 0, 1), 1)


def datatrove_filters(path: str, names: list[str]) -> float:
    """Datatrove's filters with their defaults; each judges every document, whatever another's verdict."""
    from datatrove.data import Document
    from datatrove.pipeline import filters

    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts_of(path))]
    steps = [getattr(filters, name)() for name in names]

    def judge(step: Any) -> float:
        return best(lambda: [step.filter(document) for document in documents], 1)

    return sum(judge(step) for step in steps)


def daft_signatures(path: str, permutations: int) -> float:
    """Daft's `minhash` expression (xxh3) on normalised text."""
    import daft
    from daft import col

    frame = daft.from_pydict({"text": texts_of(path)}).collect()
    hashes = col("text").minhash(num_hashes=permutations, ngram_size=SHINGLE_WORDS, hash_function="xxhash3_64")
    return best(lambda: frame.select(hashes).collect())


def rensa_signatures(path: str, permutations: int) -> float:
    """Rensa's RMinHash; its shingles are made in Python."""
    from rensa import RMinHash

    def one(text: str) -> None:
        sketch = RMinHash(num_perm=permutations, seed=42)
        sketch.update(_shingles(text))
        sketch.digest()

    return _each(path, one)


def datasketch_signatures(path: str, permutations: int) -> float:
    """Datasketch's MinHash with its default hash function; its shingles are made in Python."""
    from datasketch import MinHash

    def one(text: str) -> None:
        MinHash(num_perm=permutations).update_batch([shingle.encode() for shingle in _shingles(text)])

    return _each(path, one)


def _each(path: str, function: Callable[[str], object]) -> float:
    texts = texts_of(path)
    return best(lambda: [function(text) for text in texts], 1)


def _shingles(text: str) -> Sequence[str]:
    words = text.split(" ")
    return [" ".join(words[at : at + SHINGLE_WORDS]) for at in range(max(1, len(words) - SHINGLE_WORDS + 1))]
