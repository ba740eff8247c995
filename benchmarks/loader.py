"""`make bench NAME=loader`: batches of tokens from warm files on one core, against how it is commonly done.

nanoGPT's `get_batch`, read plainly, is a fresh `np.memmap` for every batch (its own way around a leak), random offsets,
one slice and cast a row, `torch.stack`. It draws with replacement, so that it serves no epoch. litdata is measured in
its own format, with one pass in an order of its own. mosaicml-streaming is not: it asks for numpy below 2.2.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measure import in_process, peer_in_process
from benchmarks.rows import Row, compare

TOKENS = 100_000_000  # 200 MB of uint16: larger than any processor's cache, and warm in any machine's memory
SECONDS = 1.5  # of serving that is measured, the best of three such stretches
CHECK_TOKENS, CHECK_SECONDS = 1_000_000, 0.05
PEER_TOKENS = 20_000_000  # that the peers convert to their own formats
CASES = ((32, 1024), (12, 64), (8, 4096))  # rows, context
VOCABULARY = 50_257
DOCUMENT = 700  # tokens


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows in tokens a second. `data` is not used: which tokens are served makes no difference."""
    folder = Path(tempfile.mkdtemp(prefix="groundup-loader-"))
    try:
        seconds = CHECK_SECONDS if check else SECONDS
        in_process(write_tokens, str(folder), CHECK_TOKENS if check else TOKENS)
        for rows, context in CASES:
            case = f"context {context:,}, batch {rows}"
            ours = in_process(groundup, str(folder), rows, context, seconds).value
            for name, peer in PEERS.items():
                theirs = peer_in_process(peer, str(folder), rows, context, seconds).figure(lambda it: it.value / 1e6)
                yield compare(case, "speed", ours / 1e6, theirs, name, "M tokens/s", "higher")
        ours = in_process(groundup_inside_documents, str(folder), 32, 1024, seconds).value
        theirs = in_process(nanogpt, str(folder), 32, 1024, seconds).value / 1e6
        case = "context 1,024, batch 32, with the document of each token"
        yield compare(case, "speed", ours / 1e6, theirs, "nanoGPT's get_batch", "M tokens/s", "higher")
    finally:
        shutil.rmtree(folder)


def write_tokens(folder: str, tokens: int) -> None:
    """A shard of random tokens in `folder`, in groundup's format."""
    import numpy as np

    from groundup.shards.sealed import SealedFile
    from groundup.shards.token_file import Header, Source

    ids = np.random.default_rng(0).integers(0, VOCABULARY, tokens, dtype=np.uint16)
    starts = np.arange(0, tokens + DOCUMENT, DOCUMENT).clip(max=tokens)
    names = np.arange(len(starts) - 1).astype("S32")
    checksums: dict[str, list[int]] = {}
    for name, content in (("bin", ids), ("starts.bin", starts.astype("<i8")), ("ids.bin", names.view(np.uint8))):
        with SealedFile(Path(folder, f"train.{name}")) as file:
            file.write(content.data)
        checksums |= file.checksums
    sources = (Source("random", len(names), tokens),)
    Header("", VOCABULARY, VOCABULARY - 1, sources, checksums).write(Path(folder, "train.json"))


def groundup(folder: str, rows: int, context: int, seconds: float) -> float:
    """Groundup's stream: a permutation of all samples, resumable from one integer."""
    stream = _stream(folder, context)
    return _rate(lambda step: _tensor(stream.batch(step * rows, rows)), rows * context, seconds)


def groundup_inside_documents(folder: str, rows: int, context: int, seconds: float) -> float:
    """The same, with the document of each token for attention that is kept inside documents."""
    stream = _stream(folder, context)

    def batch(step: int) -> Any:
        return _tensor(stream.batch(step * rows, rows)), _tensor(stream.documents(step * rows, rows))

    return _rate(batch, rows * context, seconds)


def nanogpt(folder: str, rows: int, context: int, seconds: float) -> float:
    """`get_batch` as nanoGPT's train.py does it, for a CPU."""
    import numpy as np
    import torch

    def batch(_step: int) -> Any:
        data = np.memmap(Path(folder, "train.bin"), dtype=np.uint16, mode="r")
        starts = torch.randint(len(data) - context, (rows,))
        x = torch.stack([torch.from_numpy(data[i : i + context].astype(np.int64)) for i in starts])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + context].astype(np.int64)) for i in starts])
        return x, y

    return _rate(batch, rows * context, seconds)


def litdata(folder: str, rows: int, context: int, seconds: float) -> float:
    """Litdata's `StreamingDataset` over a `TokensLoader`, in its own data loader without workers."""
    import numpy as np
    import torch

    peer: Any = import_module("litdata")
    target = Path(folder, f"litdata-{context}")
    if not target.exists():
        ids = np.memmap(Path(folder, "train.bin"), dtype=np.uint16, mode="r")
        pieces = [
            torch.from_numpy(ids[at : at + DOCUMENT].astype(np.int32))
            for at in range(0, min(len(ids), PEER_TOKENS), DOCUMENT)
        ]
        peer.optimize(
            fn=_itself,
            inputs=pieces,
            output_dir=str(target),
            chunk_size=(context + 1) * 4096,
            item_loader=peer.TokensLoader(),
            num_workers=1,
        )
    blocks = peer.TokensLoader(block_size=context + 1)
    samples = peer.StreamingDataset(str(target), item_loader=blocks, shuffle=True, drop_last=True)
    return _over(peer.StreamingDataLoader(samples, batch_size=rows), rows, context, seconds)


PEERS: dict[str, Callable[[str, int, int, float], float]] = {
    "nanoGPT's get_batch": nanogpt,
    "litdata": litdata,
}


def _itself(piece: Any) -> Any:
    return piece


def _stream(folder: str, context: int) -> Any:
    from groundup.shards.stream import SampleStream
    from groundup.shards.token_file import TokenShard

    return SampleStream(TokenShard.open(Path(folder), "train"), context, seed=1)


def _tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(array)


def _rate(batch: Callable[[int], Any], tokens: int, seconds: float) -> float:
    """Tokens a second: the best of three stretches, after one batch and a pass over the file that are not counted."""
    from time import perf_counter

    batch(0)
    best, step = 0.0, 1
    for _ in range(3):
        first, start = step, perf_counter()
        while (passed := perf_counter() - start) < seconds:
            batch(step)
            step += 1
        best = max(best, (step - first) * tokens / passed)
    return best


def _over(loader: Any, rows: int, context: int, seconds: float) -> float:
    """`_rate` of an iterable, which is restarted when it ends."""
    batches = iter(loader)

    def following(_step: int) -> Any:
        nonlocal batches
        try:
            return next(batches)
        except StopIteration:
            batches = iter(loader)
            return next(batches)

    return _rate(following, rows * context, seconds)
