"""`make bench NAME=inference`: tokens per second and CPU time per token, against transformers and llama.cpp.

Models of 4, 10, 30 and 124 million random parameters continue prompts of 32 tokens greedily by 48 tokens, for 1, 8, 64
and 256 requests at once. Transformers is given its dynamic cache and its static one, and the faster counts; llama.cpp
reads the same model as GGUF in F32 and in BF16, with its own defaults. All have the same weights, prompts and threads;
transformers must give the same tokens. `server` is our own server at 1, 8 and 32 clients: time to the first token and
between tokens, on average over requests, against one client.

SIDES="10M 30M transformers" measures some sizes and some of `transformers`, `llama.cpp` and `server` only.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement, in_process, peer_in_process
from benchmarks.rows import Better, Row, compare
from groundup.errors import GroundupError

CORES = 2
PROMPT, ANSWER = 32, 48
SIZES = {"4M": (4_000_000, 4096), "10M": (10_000_000, 8192), "30M": (30_000_000, 16_384), "124M": (124_000_000, 50_257)}
ROWS = (1, 8, 64, 256)
PEERS = ("transformers", "llama.cpp", "server")
CLIENTS = (1, 8, 32)
LLAMA_CPP = "cyllama"
METRICS: tuple[tuple[str, str, Better], ...] = (
    ("speed", "tokens/s", "higher"),
    ("CPU time", "ms/token", "lower"),
    ("peak memory", "MB", "lower"),
)


def run(data: Path | None, check: bool = False, sides: Sequence[str] = ()) -> Iterator[Row]:
    """Rows for every size and number of requests; weights and prompts are random, not `data`."""
    sizes, batches = ({"1M": (1_000_000, 512)}, (1, 3)) if check else (SIZES, ROWS)
    if wrong := set(sides) - {*sizes, *PEERS}:
        raise GroundupError(
            f"there is no side {', '.join(sorted(wrong))}", do=f"name some of {', '.join(PEERS)}, 4M ..."
        )
    peers = [peer for peer in PEERS if peer in sides] or list(PEERS)
    with tempfile.TemporaryDirectory() as folder:
        for name in [size for size in sizes if size in sides] or list(sizes):
            parameters, vocabulary = sizes[name]
            path = str(Path(folder) / name)
            in_process(make, path, parameters, vocabulary, cores=CORES)
            for rows in batches if peers != ["server"] else ():
                answer = ANSWER if parameters < 100_000_000 or rows < 64 else ANSWER // 4
                yield from _rows(path, f"{name}, {rows} at once", rows, answer, peers)
            if "server" in peers:
                yield from _served(path, name, CLIENTS[:2] if check else CLIENTS)


def _rows(path: str, case: str, rows: int, answer: int, peers: Sequence[str]) -> Iterator[Row]:
    ours = in_process(by_groundup, path, rows, answer, False, cores=CORES)
    if "transformers" in peers:
        peer = peer_in_process(by_transformers, path, rows, answer, cores=CORES)
        for metric, unit, better in METRICS:
            figure = partial(_figure, metric)
            yield compare(case, metric, figure(ours), peer.figure(figure), "transformers", unit, better)
        same = peer.figure(lambda one: sum(a == b for a, b in zip(ours.value["ids"], one.value["ids"], strict=True)))
        yield compare(case, "requests with transformers' tokens", rows, same, "transformers", "requests", "lower")
    if "llama.cpp" in peers:
        for kind in ("f32", "bf16"):
            peer = peer_in_process(by_llama_cpp, path, kind, rows, answer, cores=CORES)
            for metric, unit, better in METRICS:
                figure = partial(_figure, metric)
                name = f"{metric}, llama.cpp {kind.upper()}"
                yield compare(case, name, figure(ours), peer.figure(figure), LLAMA_CPP, unit, better)
    if rows <= 8:
        int8 = in_process(by_groundup, path, rows, answer, True, cores=CORES)
        speeds = [_figure("speed", side) for side in (int8, ours)]
        yield compare(f"{case}, int8", "speed", speeds[0], speeds[1], "groundup, float32", "tokens/s", "higher")


def _served(path: str, name: str, clients: Sequence[int]) -> Iterator[Row]:
    """Times at several numbers of clients against those of one, and of all cores against one thread."""
    found = {count: in_process(by_server, path, count, CORES, cores=CORES) for count in clients}
    alone = found[clients[0]]
    for count, measured in found.items():
        single = in_process(by_server, path, count, 1, cores=CORES)
        for metric in ("time to first token", "time between tokens"):
            for other, who in ((single, "groundup, 1 thread"), *([(alone, "groundup, 1 client")] if count > 1 else [])):
                ours, theirs = float(measured.value[metric]), float(other.value[metric])
                yield compare(f"{name}, {count} clients", metric, ours, theirs, who, "ms", "lower")
        ours, theirs = measured.peak_rss_bytes / 1e6, alone.peak_rss_bytes / 1e6
        yield compare(f"{name}, {count} clients", "peak memory", ours, theirs, "groundup, 1 client", "MB", "lower")


def _figure(metric: str, measured: Measurement) -> float:
    return measured.peak_rss_bytes / 1e6 if metric == "peak memory" else float(measured.value[metric])


def make(path: str, parameters: int, vocabulary: int) -> None:
    """Write a model of about this size; logits of random weights are spread, so that no token wins by rounding."""
    import torch

    from groundup.model import CustomLanguageModel, save_pretrained
    from groundup.planning.size import shape_for

    config = shape_for(parameters, vocabulary).model_copy(
        update={"max_position_embeddings": 256, "tie_word_embeddings": False}
    )
    model = CustomLanguageModel(config, seed=0)
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    save_pretrained(model, path)


def prompts_of(rows: int, vocabulary: int) -> list[list[int]]:
    """Random prompts, the same for all sides."""
    import torch

    ids: list[list[int]] = torch.randint(
        vocabulary, (rows, PROMPT), generator=torch.Generator().manual_seed(1)
    ).tolist()
    return ids


def by_groundup(path: str, rows: int, answer: int, int8: bool) -> dict[str, Any]:
    """Tokens per second, CPU seconds, and the tokens."""
    from groundup.inference import InferenceEngine
    from groundup.model import from_pretrained

    model = from_pretrained(path)
    prompts = prompts_of(rows, model.config.vocab_size)
    engine = InferenceEngine(model, slots=rows, capacity=PROMPT + answer, int8=int8)

    def generate() -> list[list[int]]:
        engine.forget()
        requests = [engine.add(prompt, max_tokens=answer) for prompt in prompts]
        engine.run()
        return [request.tokens for request in requests]

    return _timed(generate, rows * answer)


def by_transformers(path: str, rows: int, answer: int) -> dict[str, Any]:
    """The same by `generate` with the cache that is faster here."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    ids = torch.tensor(prompts_of(rows, model.config.vocab_size))
    options = {"max_new_tokens": answer, "min_new_tokens": answer, "do_sample": False, "pad_token_id": 0}

    def generate(**cache: Any) -> list[list[int]]:
        with torch.no_grad():
            found = model.generate(ids, attention_mask=torch.ones_like(ids), **options, **cache)
        tokens: list[list[int]] = found[:, ids.shape[1] :].tolist()
        return tokens

    static = {"cache_implementation": "static", "disable_compile": True}
    found = [_timed(partial(generate, **cache), rows * answer) for cache in ({}, static)]
    return max(found, key=lambda one: float(one["speed"]))


def by_llama_cpp(path: str, kind: Any, rows: int, answer: int) -> dict[str, Any]:
    """The same by llama.cpp, of a GGUF file that is written first."""
    from benchmarks.llama_cpp import LlamaCpp
    from groundup.export.gguf import write_gguf
    from groundup.model import from_pretrained
    from groundup.tokenizer import Tokenizer

    file = Path(path).with_suffix(f".{kind}.gguf")
    if not file.exists():
        write_gguf(file, from_pretrained(path), Tokenizer([]), kind, name="m", template=None)
    with LlamaCpp(file, threads=CORES, sequences=rows, context=PROMPT + answer) as model:
        prompts = prompts_of(rows, model.size)
        return _timed(lambda: model.greedy(prompts, answer), rows * answer)


def by_server(path: str, clients: int, threads: int) -> dict[str, float]:
    """Milliseconds to the first token and between tokens, on average over four requests of each client."""
    import json
    import threading
    from concurrent.futures import ThreadPoolExecutor

    import httpx
    import torch
    import uvicorn

    from groundup.inference.loading import LoadedModel
    from groundup.model import from_pretrained
    from groundup.serve import create_app
    from groundup.tokenizer import Tokenizer

    torch.set_num_threads(threads)
    tokenizer = Tokenizer([])
    loaded = LoadedModel("m", from_pretrained(path), tokenizer, frozenset())
    app = create_app({"m": lambda: loaded}, key=None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/completions"
    prompts = prompts_of(clients, tokenizer.vocabulary_size)

    def ask(prompt: list[int]) -> tuple[float, float]:
        body = {"prompt": prompt, "max_tokens": ANSWER, "temperature": 0, "stream": True}
        asked, times = time.perf_counter(), list[float]()
        with httpx.stream("POST", address, json=body | {"logprobs": 0}, timeout=300) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {") and (json.loads(line[6:])["choices"][0].get("logprobs") or {}).get(
                    "tokens"
                ):
                    times.append(time.perf_counter())
        return 1000 * (times[0] - asked), 1000 * (times[-1] - times[0]) / (len(times) - 1)

    ask(prompts[0])  # compiles, and loads the model
    with ThreadPoolExecutor(clients) as pool:
        found = [pair for _ in range(4) for pair in pool.map(ask, prompts)]
    server.should_exit = True
    thread.join()
    first, between = (sum(column) / len(column) for column in zip(*found, strict=True))
    return {"time to first token": first, "time between tokens": between}


def _timed(generate: Callable[[], list[list[int]]], tokens: int) -> dict[str, Any]:
    """The best of three runs after a first one."""
    ids = generate()
    walls, cpus = [], []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        generate()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"speed": tokens / min(walls), "CPU time": 1000 * min(cpus) / tokens, "ids": ids}
