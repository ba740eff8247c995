"""The sides of `benchmarks/inference.py`, each called in a process of its own.

Cases are [requests, tokens of a prompt, tokens of an answer]; what comes back for each is a dictionary of figures.
Memory is the largest that the process has had by the end of the case.
"""

import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

CORES = 2
RUNS, SECONDS = 3, 2.5  # of a case: the best counts, the first of which prepares; at least two
ASKED = 4  # times by each client
ANSWER = 48  # tokens of a served answer

Figures = list[dict[str, Any]]


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


def prompts_of(rows: int, length: int, vocabulary: int) -> list[list[int]]:
    """Random prompts, the same for all sides."""
    import torch

    ids: list[list[int]] = torch.randint(
        vocabulary, (rows, length), generator=torch.Generator().manual_seed(1)
    ).tolist()
    return ids


def by_groundup(path: str, cases: Sequence[tuple[int, int, int]], kind: str) -> Figures:
    """`kind`: `float32`, `bfloat16` or `int8`."""
    import torch

    from groundup.inference import InferenceEngine
    from groundup.model import from_pretrained

    model = from_pretrained(path)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    found = []
    for rows, length, answer in cases:
        prompts = prompts_of(rows, length, model.config.vocab_size)
        engine = InferenceEngine(model, slots=rows, capacity=length + answer, dtype=dtype, int8=kind == "int8")
        found.append(_timed(partial(_answers, engine, prompts, answer), rows * answer, engine.forget))
    return found


def _answers(engine: Any, prompts: list[list[int]], answer: int) -> list[list[int]]:
    requests = [engine.add(prompt, max_tokens=answer) for prompt in prompts]
    engine.run()
    return [request.tokens for request in requests]


def by_transformers(path: str, cases: Sequence[tuple[int, int, int]], kind: str, compiled: bool) -> Figures:
    """By `generate` with the cache that is faster; `compiled`: with the static one and a compiled decoding step."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, kind))
    static = {"cache_implementation": "static", "disable_compile": not compiled}
    found = []
    for rows, length, answer in cases:
        ids = torch.tensor(prompts_of(rows, length, model.config.vocab_size))
        ways = [static] if compiled else [{}, static]
        timed = [_timed(partial(_generated, model, ids, answer, way), rows * answer) for way in ways]
        found.append(max(timed, key=_speed))
    return found


def _generated(model: Any, ids: Any, answer: int, cache: dict[str, Any]) -> list[list[int]]:
    import torch
    from transformers import CompileConfig

    options: dict[str, Any] = {
        "max_new_tokens": answer,
        "min_new_tokens": answer,
        "do_sample": False,
        "pad_token_id": 0,
    }
    if not cache.get("disable_compile", True):
        options["compile_config"] = CompileConfig(mode="default")  # the default mode is for CUDA graphs
        options["compile_config"]._compile_all_devices = True  # it compiles on accelerators alone otherwise
    with torch.no_grad():
        found = model.generate(ids, attention_mask=torch.ones_like(ids), **options, **cache)
    tokens: list[list[int]] = found[:, ids.shape[1] :].tolist()
    return tokens


def _speed(one: dict[str, Any]) -> float:
    return float(one["speed"])


def by_llama_cpp(path: str, cases: Sequence[tuple[int, int, int]], kind: str) -> Figures:
    """Of a GGUF file that is written first."""
    from benchmarks.llama_cpp import LlamaCpp
    from groundup.export.gguf import write_gguf
    from groundup.model import from_pretrained
    from groundup.tokenizer import Tokenizer

    short: Any = {"float32": "f32", "bfloat16": "bf16"}[kind]
    file = Path(path).with_suffix(f".{short}.gguf")
    words = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=280)  # llama.cpp wants merges
    write_gguf(file, from_pretrained(path), words, short, name="m", template=None)
    found = []
    for rows, length, answer in cases:
        with LlamaCpp(file, threads=CORES, sequences=rows, context=length + answer) as model:
            prompts = prompts_of(rows, length, model.size)
            found.append(_timed(partial(model.greedy, prompts, answer), rows * answer))
    return found


def by_server(path: str, clients: Sequence[int], threads: int) -> Figures:
    """Milliseconds to the first token and between tokens, on average over the requests of so many clients."""
    import torch
    import uvicorn

    from groundup.inference.loading import LoadedModel
    from groundup.model import from_pretrained
    from groundup.serve import create_app
    from groundup.tokenizer import Tokenizer

    torch.set_num_threads(threads)
    tokenizer = Tokenizer([])
    loaded = LoadedModel("m", from_pretrained(path), tokenizer, frozenset())
    server = uvicorn.Server(uvicorn.Config(create_app({"m": lambda: loaded}, key=None), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1/completions"
    prompts = prompts_of(max(clients), 32, tokenizer.vocabulary_size)
    found = []
    try:
        _ask(address, prompts[0])  # compiles, and loads the model
        for count in clients:
            with ThreadPoolExecutor(count) as pool:
                pairs = [pair for _ in range(ASKED) for pair in pool.map(partial(_ask, address), prompts[:count])]
            first, between = (sum(column) / len(column) for column in zip(*pairs, strict=True))
            found.append({"time to first token": first, "time between tokens": between, "peak memory": _megabytes()})
    finally:
        server.should_exit = True
        thread.join()
    return found


def _ask(address: str, prompt: list[int]) -> tuple[float, float]:
    """(milliseconds to the first token, between tokens)"""
    import httpx

    body = {"prompt": prompt, "max_tokens": ANSWER, "temperature": 0, "stream": True, "logprobs": 0}
    asked, times = time.perf_counter(), list[float]()
    with httpx.stream("POST", address, json=body, timeout=300) as reply:
        reply.raise_for_status()
        for line in reply.iter_lines():
            if line.startswith("data: {") and (json.loads(line[6:])["choices"][0].get("logprobs") or {}).get("tokens"):
                times.append(time.perf_counter())
    return 1000 * (times[0] - asked), 1000 * (times[-1] - times[0]) / (len(times) - 1)


def _timed(
    generate: Callable[[], list[list[int]]], tokens: int, before: Callable[[], None] | None = None
) -> dict[str, Any]:
    """The best of some runs; `before` each, untimed, what is kept of the last one is dropped."""
    walls, cpus, ids = list[float](), list[float](), list[list[int]]()
    while len(walls) < 2 or (len(walls) < RUNS and sum(walls) < SECONDS):
        if before is not None:
            before()
        wall, cpu = time.perf_counter(), time.process_time()
        ids = generate()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "speed": tokens / min(walls),
        "CPU time": 1000 * min(cpus) / tokens,
        "peak memory": _megabytes(),
        "ids": ids,
    }


def _megabytes() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
