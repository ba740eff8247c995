"""`make bench NAME=inference`: tokens per second and CPU time per token, against transformers.

Models of 4, 10, 30 and 124 million random parameters continue prompts of 32 tokens greedily by 48 tokens, for 1, 8, 64
and 256 requests at once. Transformers is given its dynamic cache and its static one, and the faster counts. Both sides
have the same weights, prompts and threads, and must give the same tokens.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement, in_process, peer_in_process
from benchmarks.rows import Better, Row, compare

CORES = 2
PROMPT, ANSWER = 32, 48
SIZES = {"4M": (4_000_000, 4096), "10M": (10_000_000, 8192), "30M": (30_000_000, 16_384), "124M": (124_000_000, 50_257)}
ROWS = (1, 8, 64, 256)
METRICS: tuple[tuple[str, str, Better], ...] = (
    ("speed", "tokens/s", "higher"),
    ("CPU time", "ms/token", "lower"),
    ("peak memory", "MB", "lower"),
)


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for every size and number of requests; weights and prompts are random, not `data`."""
    sizes, batches = ({"1M": (1_000_000, 512)}, (1, 3)) if check else (SIZES, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        for name, (parameters, vocabulary) in sizes.items():
            path = str(Path(folder) / name)
            in_process(make, path, parameters, vocabulary, cores=CORES)
            for rows in batches:
                answer = ANSWER if parameters < 100_000_000 or rows < 64 else ANSWER // 4
                yield from _rows(path, f"{name}, {rows} at once", rows, answer)


def _rows(path: str, case: str, rows: int, answer: int) -> Iterator[Row]:
    ours = in_process(by_groundup, path, rows, answer, False, cores=CORES)
    peer = peer_in_process(by_transformers, path, rows, answer, cores=CORES)
    for metric, unit, better in METRICS:
        figure = partial(_figure, metric)
        yield compare(case, metric, figure(ours), peer.figure(figure), "transformers", unit, better)
    same = peer.figure(lambda one: sum(a == b for a, b in zip(ours.value["ids"], one.value["ids"], strict=True)))
    yield compare(case, "requests with transformers' tokens", rows, same, "transformers", "requests", "lower")
    if rows <= 8:
        int8 = in_process(by_groundup, path, rows, answer, True, cores=CORES)
        speeds = [_figure("speed", side) for side in (int8, ours)]
        yield compare(f"{case}, int8", "speed", speeds[0], speeds[1], "groundup, float32", "tokens/s", "higher")


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


def _timed(generate: Callable[[], list[list[int]]], tokens: int) -> dict[str, Any]:
    """The best of three runs after a first one."""
    import time

    ids = generate()
    walls, cpus = [], []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        generate()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"speed": tokens / min(walls), "CPU time": 1000 * min(cpus) / tokens, "ids": ids}
