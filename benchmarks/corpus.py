"""`make bench NAME=corpus`: MinHash signatures and filter statistics against the peers on one core."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import corpus_peers as peers
from benchmarks.measure import Failure, Measurement, best, in_process, peer_in_process
from benchmarks.rows import Row, compare
from groundup.errors import GroundupError

if TYPE_CHECKING:
    import pyarrow as pa

SMALL_BYTES = 6_000_000  # for the peers that need minutes for more
CHECK_BYTES = 100_000
DATATROVE_FILTERS = ["GopherQualityFilter", "GopherRepetitionFilter", "FineWebQualityFilter"]
Peer = Callable[[str, int], float]


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for `data`, a file or folder of text; without it, for the Python documentation of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        where = str(data.resolve()) if data else ""
        sizes: dict[str, int] = in_process(prepare, where, folder, check).value
        yield from _signatures(Path(folder), sizes)
        yield from _statistics(Path(folder), sizes)


def _signatures(folder: Path, sizes: dict[str, int]) -> Iterator[Row]:
    groups: tuple[tuple[str, dict[str, Peer]], ...] = (
        ("normalised", {"daft": peers.daft_signatures, "rensa": peers.rensa_signatures}),
        (
            "normalised-small",
            {"datatrove": peers.datatrove_signatures, "datasketch": peers.datasketch_signatures},
        ),
    )
    for name, others in groups:
        path, megabytes = str(folder / f"{name}.parquet"), sizes[name] / 1e6
        case = f"MinHash, {peers.PERMUTATIONS} hashes of {peers.SHINGLE_WORDS} words, {megabytes:.0f} MB normalised"
        ours = megabytes / in_process(signatures, path, peers.PERMUTATIONS).value
        for peer_name, peer in others.items():
            theirs = _speed(megabytes, peer_in_process(peer, path, peers.PERMUTATIONS))
            yield compare(case, "speed", ours, theirs, peer_name, "MB/s", "higher")


def _statistics(folder: Path, sizes: dict[str, int]) -> Iterator[Row]:
    path, megabytes = str(folder / "raw-small.parquet"), sizes["raw-small"] / 1e6
    ours = megabytes / in_process(statistics, path).value
    theirs = _speed(megabytes, peer_in_process(peers.datatrove_filters, path, DATATROVE_FILTERS))
    case = f"Gopher, repetition and FineWeb statistics, {megabytes:.0f} MB"
    yield compare(case, "speed", ours, theirs, "datatrove", "MB/s", "higher")


def _speed(megabytes: float, measured: Measurement | Failure) -> float | Failure:
    return measured.figure(lambda it: megabytes / it.value)


def prepare(data: str, folder: str, check: bool) -> dict[str, int]:
    """Write the texts as they are and in their normal form, all and a part of them; returns the bytes of each file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from groundup.corpus.configuration import Files, PythonDocs, Source
    from groundup.corpus.documents import Document
    from groundup.corpus.duplicates.normal_form import normalise
    from groundup.corpus.sources import read_sources

    source: Source = Files(kind="files", path=Path(data)) if data else PythonDocs(kind="python-docs")
    documents = (item.text for item in read_sources([source], Path()) if isinstance(item, Document))
    texts = list(_first(documents, CHECK_BYTES)) if check else list(documents)
    few = list(_first(texts, SMALL_BYTES))
    if not texts:
        raise GroundupError("there is no text to measure with", where=data)
    sizes = {}
    for name, chosen in (("raw", texts), ("raw-small", few)):
        column = pa.array(chosen, pa.large_string())
        for kind, values in ((name, column), (name.replace("raw", "normalised"), normalise(column))):
            pq.write_table(pa.table({"text": values}), Path(folder) / f"{kind}.parquet")
            sizes[kind] = values.buffers()[2].size if len(values) else 0
    return sizes


def _first(texts: Iterable[str], characters: int) -> Iterator[str]:
    """The first texts that together have so many characters."""
    size = 0
    for text in texts:
        yield text
        size += len(text)
        if size >= characters:
            return


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
