"""`groundup bench corpus`: MinHash signatures and filter statistics against the peers on one core."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.bench import corpus_peers as peers
from groundup.bench.measure import best, in_process
from groundup.bench.rows import Row, compare
from groundup.errors import GroundupError

if TYPE_CHECKING:
    import pyarrow as pa

SMALL_BYTES = 6_000_000  # for the peers that need minutes for more
DATATROVE_FILTERS = ("GopherQualityFilter", "GopherRepetitionFilter", "FineWebQualityFilter")


def run(data: Path | None) -> Iterator[Row]:
    """Rows for `data`, a file or folder of text; without it, for the Python documentation of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        where = str(data.resolve()) if data else ""
        sizes: dict[str, int] = in_process(prepare, where, folder).value
        yield from _signatures(Path(folder), sizes)
        yield from _statistics(Path(folder), sizes)


def _signatures(folder: Path, sizes: dict[str, int]) -> Iterator[Row]:
    all_texts, few = str(folder / "normalised.parquet"), str(folder / "normalised-small.parquet")
    size, small = sizes["normalised"], sizes["normalised-small"]
    case = f"MinHash, {peers.PERMUTATIONS} hashes of {peers.SHINGLE_WORDS} words, {size / 1e6:.0f} MB normalised"
    ours = size / in_process(signatures, all_texts, peers.PERMUTATIONS).value / 1e6
    daft = size / in_process(peers.daft_signatures, all_texts, peers.PERMUTATIONS).value / 1e6
    yield compare(case, "speed", ours, daft, "daft", "MB/s", "higher")
    rensa = size / in_process(peers.rensa_signatures, all_texts, peers.PERMUTATIONS).value / 1e6
    yield compare(case, "speed", ours, rensa, "rensa", "MB/s", "higher")
    case = case.replace(f"{size / 1e6:.0f} MB", f"{small / 1e6:.0f} MB")
    ours = small / in_process(signatures, few, peers.PERMUTATIONS).value / 1e6
    datatrove = small / in_process(peers.datatrove_signatures, few, 14, 8).value / 1e6
    yield compare(case, "speed", ours, datatrove, "datatrove", "MB/s", "higher")
    datasketch = small / in_process(peers.datasketch_signatures, few, peers.PERMUTATIONS).value / 1e6
    yield compare(case, "speed", ours, datasketch, "datasketch", "MB/s", "higher")


def _statistics(folder: Path, sizes: dict[str, int]) -> Iterator[Row]:
    few, small = str(folder / "raw-small.parquet"), sizes["raw-small"]
    ours = small / in_process(statistics, few).value / 1e6
    seconds = [in_process(peers.datatrove_filters, few, name).value for name in DATATROVE_FILTERS]
    case = f"Gopher, repetition and FineWeb statistics, {small / 1e6:.0f} MB"
    yield compare(case, "speed", ours, small / sum(seconds) / 1e6, "datatrove", "MB/s", "higher")


def prepare(data: str, folder: str) -> dict[str, int]:
    """Write the texts as they are and in their normal form, all and a part of them; returns the bytes of each file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from groundup.corpus.configuration import Files, PythonDocs, Source
    from groundup.corpus.documents import Document
    from groundup.corpus.duplicates.normal_form import normalise
    from groundup.corpus.sources import read_sources

    source: Source = Files(kind="files", path=Path(data)) if data else PythonDocs(kind="python-docs")
    texts = [item.text for item in read_sources([source], Path()) if isinstance(item, Document)]
    few: list[str] = []
    for text in texts:
        few.append(text)
        if sum(map(len, few)) >= SMALL_BYTES:
            break
    if not texts:
        raise GroundupError("there is no text to measure with", where=data)
    sizes = {}
    for name, chosen in (("raw", texts), ("raw-small", few)):
        column = pa.array(chosen, pa.large_string())
        for kind, values in ((name, column), (name.replace("raw", "normalised"), normalise(column))):
            pq.write_table(pa.table({"text": values}), Path(folder) / f"{kind}.parquet")
            sizes[kind] = values.buffers()[2].size if len(values) else 0
    return sizes


def signatures(path: str, permutations: int) -> float:
    """Seconds of our MinHash for the normalised texts of a file."""
    from groundup.corpus.duplicates.configuration import NearDuplicates
    from groundup.corpus.duplicates.fingerprints import signatures as sign

    texts = _texts(path)
    config = NearDuplicates(shingle_words=peers.SHINGLE_WORDS, bands=permutations // 8, rows=8)
    return best(lambda: sign(texts, config))


def statistics(path: str) -> float:
    """Seconds of our one pass for all statistics."""
    from groundup.corpus.filters.statistics import measure

    texts = _texts(path)
    return best(lambda: measure(texts))


def _texts(path: str) -> "pa.Array":
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(path)["text"].cast(pa.large_string()).combine_chunks()
