"""`make bench NAME=curation`: whole curation of jsonl files, one process against two, and what size costs.

Everything is on but extraction (the files hold text), language identification by py3langid and rules of the preset
`gopher` included. `benchmarks.large_corpus` makes a corpus of any size. The peer is groundup itself: with one
worker, and on the smallest part of the files.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.large_corpus import write
from benchmarks.measure import in_process
from benchmarks.rows import Row, compare
from groundup.corpus.configuration import PythonDocs
from groundup.errors import GroundupError


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for `data`, a folder of jsonl files of about the same size; for a check the corpus is made here."""
    if not check:
        yield from _measured(data)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(PythonDocs(kind="python-docs"), Path(folder), megabytes=2, file_bytes=1_000_000)
        yield from _measured(Path(folder))


def _measured(data: Path | None) -> Iterator[Row]:
    files = sorted(data.glob("*.jsonl")) if data else []
    if not files:
        raise GroundupError(
            "there are no jsonl files to curate",
            where=str(data or ""),
            do="make some: python -m benchmarks.large_corpus SOURCE FOLDER, then make bench NAME=curation DATA=FOLDER",
        )
    paths = [str(path) for path in files]
    few = paths[: max(1, len(paths) // 20)]
    with tempfile.TemporaryDirectory() as folder:
        in_process(curated, few[:1], folder, 2, cores=2)  # kernels are compiled before any clock runs
        one = in_process(curated, paths, folder, 1)
        large = in_process(curated, paths, folder, 2, cores=2)
        small = in_process(curated, few, folder, 2, cores=2)
        size = f"{large.value['megabytes']:,.0f} MB"
        case = f"curate {size}, 2 workers against 1"
        yield compare(case, "speed", _speed(large.value), _speed(one.value), "groundup", "MB/s", "higher")
        case = f"curate {size} against {small.value['megabytes']:,.0f} MB, 2 workers"
        per_gb = [1000 / _speed(measured.value) for measured in (large, small)]
        yield compare(case, "time per GB", per_gb[0], per_gb[1], "groundup", "s", "lower")
        peaks = [measured.peak_rss_bytes / 1e6 for measured in (large, small)]
        yield compare(case, "peak memory of all processes", peaks[0], peaks[1], "groundup", "MB", "lower")


def _speed(value: dict[str, float]) -> float:
    return value["megabytes"] / value["seconds"]


def curated(paths: list[str], folder: str, workers: int) -> dict[str, Any]:
    """Curate files into a new folder; `{megabytes, seconds, documents}`."""
    import time

    from groundup.corpus.configuration import CurateConfig
    from groundup.corpus.curate.curation import curate
    from groundup.corpus.curate.partitions import partitions
    from groundup.corpus.engine import DataEngine

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out, keep = Path(scratch) / "out", Path(scratch) / "keep"
        out.mkdir()
        keep.mkdir()
        sources = [{"kind": "files", "path": path} for path in paths]
        config = CurateConfig.model_validate({"sources": sources, "rules": {"preset": "gopher"}})
        started = time.perf_counter()
        parts = partitions(config, Path())
        figures = curate(parts, config, out, keep, Path(), DataEngine(workers=workers))
        seconds = time.perf_counter() - started
    megabytes = sum(Path(path).stat().st_size for path in paths) / 1e6
    return {"megabytes": megabytes, "seconds": seconds, "documents": figures["documents"]}
