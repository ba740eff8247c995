"""`make bench NAME=curation`: whole curation of jsonl files, one process against two, and what size costs.

Everything is on but extraction (the files hold text), language identification by py3langid and rules of the preset
`gopher` included. `benchmarks.large_corpus` makes a corpus of any size. The peer is groundup itself: with one
worker, and on the smallest part of the files. What the door costs, the process that reads files, is measured as
processor time: rows as they are in the files, and short ones, through it and without it; and its start.
"""

import json
import subprocess
import sys
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


SHORT_ROWS = 50_000
ROUNDS = 4  # whose processor time is measured together


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
        yield from _door(few, Path(folder))


def _door(paths: list[str], folder: Path) -> Iterator[Row]:
    """The reader's process against reading in the process that asks: processor time of both."""
    short = folder / "short.jsonl"
    short.write_text("".join(json.dumps({"text": f"Row {n} of many. " * 10}) + "\n" for n in range(SHORT_ROWS)))
    starts = []
    for name, some in (("rows of the corpus", paths), ("short rows", [str(short)])):
        (guarded, first), (here, alone) = (_reading_seconds(some, is_guarded) for is_guarded in (True, False))
        size, rows = sum(Path(path).stat().st_size for path in some) / 1e6, in_process(read_only, some, False, 1).value
        case = f"read {size:,.1f} MB, {rows:,} {name}, in the reader's process or here"
        yield compare(case, "processor time", guarded, here, "groundup", "s", "lower")
        starts.append(first - alone)
    before = _ended_seconds()
    subprocess.run([sys.executable, "-c", ""], check=True)
    bare = _ended_seconds() - before
    yield compare("start the reader's process", "processor time", min(starts), bare, "python", "s", "lower")


def _reading_seconds(paths: list[str], guarded: bool) -> tuple[float, float]:
    """Processor time of reading some files once, of all processes, and of what comes before the first."""
    seconds = []
    for rounds in (1, 1 + ROUNDS):
        before = _ended_seconds()
        in_process(read_only, paths, guarded, rounds, cores=2)
        seconds.append(_ended_seconds() - before)
    once = (seconds[1] - seconds[0]) / ROUNDS
    return once, seconds[0] - once


def _ended_seconds() -> float:
    """Processor time of the processes that this one started and that have ended."""
    import resource

    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def read_only(paths: list[str], guarded: bool, rounds: int) -> int:
    """Read files so often, through the door or without it; returns how many rows there are."""
    from groundup.corpus.sources import pieces, read_piece
    from groundup.corpus.sources.configuration import Files
    from groundup.corpus.sources.files import Watch, read_file

    rows = 0
    for number in range(rounds * len(paths)):
        source = Files(kind="files", path=Path(paths[number % len(paths)]))
        for piece in pieces(source, "src", Path()):
            found = read_piece(piece, source) if guarded else read_file(piece, source.path, source, 8_000_000, Watch())
            rows += sum(1 for _ in found)
    return rows // rounds


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
