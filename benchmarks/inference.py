"""`make bench NAME=inference`: tokens per second and CPU time per token, against transformers and llama.cpp.

Models of 4, 10, 30 and 124 million random parameters continue random prompts greedily, for 1, 8, 64 and 256 requests at
once: 32 tokens by 48; the two larger models, for 64 and more, 16 by 24 and 8 by 12. All have the same weights, prompts
and threads. Like is compared with like: float32 with float32, where transformers must give the same tokens, and
bfloat16 with bfloat16. Transformers is given its dynamic cache and its static one, and the faster counts; llama.cpp
reads the same model as GGUF, with its own defaults. `int8` is our own, against our float32. `server` is our server at
1, 8 and 32 clients: time to the first token and between tokens, on average over requests, against one client.

SIDES="10M 30M transformers" measures some sizes and some of `transformers`, `llama.cpp`, `int8` and `server` only.
`compile`, which is measured where it is named, is transformers with its decoding step compiled, against our float32.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.inference_sides import by_groundup, by_llama_cpp, by_server, by_transformers, make
from benchmarks.measure import Measurement, in_process, peer_in_process
from benchmarks.rows import Better, Row, compare
from groundup.errors import GroundupError

CORES = 2
SIZES = {"4M": (4_000_000, 4096), "10M": (10_000_000, 8192), "30M": (30_000_000, 16_384), "124M": (124_000_000, 50_257)}
ROWS = (1, 8, 64, 256)
LENGTHS = (32, 48)  # of a prompt and its answer
SHORTER = {"30M": (16, 24), "124M": (8, 12)}  # for MANY and more
MANY = 64
SIDES = ("transformers", "llama.cpp", "int8", "server")
CLIENTS = (1, 8, 32)
ONE_THREAD = "10M"  # whose server is also measured with one thread
LLAMA_CPP = "cyllama"
KINDS = ("float32", "bfloat16")
METRICS: tuple[tuple[str, str, Better], ...] = (
    ("speed", "tokens/s", "higher"),
    ("CPU time", "ms/token", "lower"),
    ("peak memory", "MB", "lower"),
)


def run(data: Path | None, check: bool = False, sides: Sequence[str] = ()) -> Iterator[Row]:
    """Rows for every size and number of requests; weights and prompts are random, not `data`."""
    sizes, batches = ({"1M": (1_000_000, 512)}, (1, 3)) if check else (SIZES, ROWS)
    if wrong := set(sides) - {*sizes, *SIDES, "compile"}:
        raise GroundupError(
            f"there is no side {', '.join(sorted(wrong))}", do=f"name some of {', '.join(SIDES)}, compile, 4M ..."
        )
    wanted = [side for side in (*SIDES, "compile") if side in sides] or list(SIDES)
    with tempfile.TemporaryDirectory() as folder:
        for name in [size for size in sizes if size in sides] or list(sizes):
            parameters, vocabulary = sizes[name]
            path = str(Path(folder) / name)
            in_process(make, path, parameters, vocabulary, cores=CORES)
            cases = [[rows, *(SHORTER.get(name, LENGTHS) if rows >= MANY else LENGTHS)] for rows in batches]
            yield from _generated(path, name, cases, wanted)
            if "server" in wanted:
                yield from _served(path, name, CLIENTS[:2] if check else CLIENTS, check or name == ONE_THREAD)


def _generated(path: str, name: str, cases: list[list[int]], sides: Sequence[str]) -> Iterator[Row]:
    """A process measures all numbers of requests of one side, the smallest first."""
    for kind in KINDS:
        peers = {}
        if "transformers" in sides:
            peers["transformers"] = peer_in_process(by_transformers, path, cases, kind, False, cores=CORES)
        if "llama.cpp" in sides:
            peers[LLAMA_CPP] = peer_in_process(by_llama_cpp, path, cases, kind, cores=CORES)
        if "compile" in sides and kind == "float32":
            peers["transformers, compiled"] = peer_in_process(by_transformers, path, cases, kind, True, cores=CORES)
        if not peers:
            continue
        ours = in_process(by_groundup, path, cases, kind, cores=CORES)
        for index, (rows, _, _) in enumerate(cases):
            case = f"{name}, {rows} at once, {kind}"
            for peer_name, peer in peers.items():
                for metric, unit, better in METRICS:
                    figure = partial(_figure, index, metric)
                    yield compare(case, metric, figure(ours), peer.figure(figure), peer_name, unit, better)
            if kind == "float32" and "transformers" in peers:
                same = peers["transformers"].figure(partial(_equal, index, ours))
                yield compare(case, "requests with equal tokens", rows, same, "transformers", "requests", "lower")
    if "int8" in sides:
        few = [case for case in cases if case[0] <= 8]
        int8, ours = (in_process(by_groundup, path, few, kind, cores=CORES) for kind in ("int8", "float32"))
        for index, (rows, _, _) in enumerate(few):
            case, (one, other) = (
                f"{name}, {rows} at once, int8",
                (_figure(index, "speed", side) for side in (int8, ours)),
            )
            yield compare(case, "speed", one, other, "groundup, float32", "tokens/s", "higher")


def _served(path: str, name: str, clients: Sequence[int], against_one_thread: bool) -> Iterator[Row]:
    """Times at several numbers of clients against those of one, and of all cores against one thread."""
    every = in_process(by_server, path, list(clients), CORES, cores=CORES)
    single = in_process(by_server, path, list(clients), 1, cores=CORES) if against_one_thread else None
    for index, count in enumerate(clients):
        for metric, unit in (("time to first token", "ms"), ("time between tokens", "ms"), ("peak memory", "MB")):
            others = [(every, 0, "groundup, 1 client"), *([(single, index, "groundup, 1 thread")] if single else [])]
            for other, at, who in others:
                ours, theirs = _figure(index, metric, every), _figure(at, metric, other)
                yield compare(f"{name}, {count} clients", metric, ours, theirs, who, unit, "lower")


def _figure(index: int, metric: str, measured: Measurement) -> float:
    return float(measured.value[index][metric])


def _equal(index: int, ours: Measurement, theirs: Measurement) -> float:
    pairs = zip(ours.value[index]["ids"], theirs.value[index]["ids"], strict=True)
    return sum(one == other for one, other in pairs)
