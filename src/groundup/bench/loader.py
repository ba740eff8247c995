"""Serving batches of tokens from warm files on one core, beside how it is commonly done.

The peer that is always there is nanoGPT's `get_batch`, read plainly: a fresh `np.memmap` for every batch (its own way
around a leak), random offsets, one slice and cast a row, `torch.stack`. It draws with replacement, so that it serves no
epoch; litdata and mosaicml-streaming are measured where they are installed, each in its own format, with one pass in an
order of its own.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from groundup.bench.measure import in_process
from groundup.bench.rows import Row, compare

TOKENS = 100_000_000  # 200 MB of uint16: larger than any processor's cache, and warm in any machine's memory
SECONDS = 1.5  # of serving that is measured, the best of three such stretches
CASES = ((32, 1024), (12, 64), (8, 4096))  # rows, context
VOCABULARY = 50_257
DOCUMENT = 700  # tokens


def run(data: Path | None = None) -> Iterator[Row]:
    """Rows in tokens a second. `data` is not used: which tokens are served makes no difference."""
    folder = Path(tempfile.mkdtemp(prefix="groundup-loader-"))
    try:
        in_process(write_tokens, str(folder))
        for rows, context in CASES:
            case = f"context {context:,}, batch {rows}"
            ours = in_process(groundup, str(folder), rows, context).value
            for name, peer in PEERS.items():
                if name == "nanoGPT's get_batch" or find_spec(MODULES[name]):
                    theirs = in_process(peer, str(folder), rows, context).value
                    yield compare(case, "speed", ours / 1e6, theirs / 1e6, name, "M tokens/s", "higher")
        ours = in_process(groundup_inside_documents, str(folder), 32, 1024).value
        theirs = in_process(nanogpt, str(folder), 32, 1024).value
        case = "context 1,024, batch 32, with the document of each token"
        yield compare(case, "speed", ours / 1e6, theirs / 1e6, "nanoGPT's get_batch", "M tokens/s", "higher")
    finally:
        shutil.rmtree(folder)


def write_tokens(folder: str) -> None:
    """A shard of random tokens in `folder`, in groundup's form."""
    import numpy as np

    from groundup.shards.sealed import SealedFile
    from groundup.shards.token_file import Header, Source

    ids = np.random.default_rng(0).integers(0, VOCABULARY, TOKENS, dtype=np.uint16)
    starts = np.arange(0, TOKENS + DOCUMENT, DOCUMENT).clip(max=TOKENS)
    names = np.arange(len(starts) - 1).astype("S32")
    checksums = {}
    for name, content in (("bin", ids), ("starts.bin", starts.astype("<i8")), ("ids.bin", names.view(np.uint8))):
        with SealedFile(Path(folder, f"train.{name}")) as file:
            file.write(content.data)
        checksums[f"train.{name}"] = file.checksums
    sources = (Source("random", len(names), TOKENS),)
    Header("", VOCABULARY, VOCABULARY - 1, sources, checksums).write(Path(folder, "train.json"))


def groundup(folder: str, rows: int, context: int) -> float:
    """Groundup's stream: a permutation of all samples, resumable from one integer."""
    stream = _stream(folder, context)
    return _rate(lambda step: _tensor(stream.batch(step * rows, rows)), rows * context)


def groundup_inside_documents(folder: str, rows: int, context: int) -> float:
    """The same, with the document of each token for attention that is kept inside documents."""
    stream = _stream(folder, context)

    def batch(step: int) -> Any:
        return _tensor(stream.batch(step * rows, rows)), _tensor(stream.documents(step * rows, rows))

    return _rate(batch, rows * context)


def nanogpt(folder: str, rows: int, context: int) -> float:
    """`get_batch` as nanoGPT's train.py does it, for a CPU."""
    import numpy as np
    import torch

    def batch(_step: int) -> Any:
        data = np.memmap(Path(folder, "train.bin"), dtype=np.uint16, mode="r")
        places = torch.randint(len(data) - context, (rows,))
        x = torch.stack([torch.from_numpy(data[i : i + context].astype(np.int64)) for i in places])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + context].astype(np.int64)) for i in places])
        return x, y

    return _rate(batch, rows * context)


def litdata(folder: str, rows: int, context: int) -> float:
    """Litdata's `StreamingDataset` over a `TokensLoader`, in its own data loader without workers."""
    import numpy as np
    import torch

    peer: Any = import_module("litdata")
    place = Path(folder, f"litdata-{context}")
    if not place.exists():
        ids = np.memmap(Path(folder, "train.bin"), dtype=np.uint16, mode="r")
        pieces = [torch.from_numpy(ids[at : at + DOCUMENT].astype(np.int32)) for at in range(0, 20_000_000, DOCUMENT)]
        peer.optimize(
            fn=_itself,
            inputs=pieces,
            output_dir=str(place),
            chunk_size=(context + 1) * 4096,
            item_loader=peer.TokensLoader(),
            num_workers=1,
        )
    blocks = peer.TokensLoader(block_size=context + 1)
    samples = peer.StreamingDataset(str(place), item_loader=blocks, shuffle=True, drop_last=True)
    return _over(peer.StreamingDataLoader(samples, batch_size=rows), rows, context)


def streaming(folder: str, rows: int, context: int) -> float:
    """The `StreamingDataset` of mosaicml-streaming, a sample a record, in a plain `DataLoader` without workers."""
    import numpy as np
    from torch.utils.data import DataLoader

    peer: Any = import_module("streaming")
    place = Path(folder, f"streaming-{context}")
    if not place.exists():
        ids = np.memmap(Path(folder, "train.bin"), dtype=np.uint16, mode="r")
        with peer.MDSWriter(out=str(place), columns={"tokens": "ndarray:uint16"}) as writer:
            for at in range(0, 20_000_000 - context, context):
                writer.write({"tokens": np.array(ids[at : at + context + 1])})
    samples = peer.StreamingDataset(local=str(place), shuffle=True, batch_size=rows)
    widened = DataLoader(samples, batch_size=rows, collate_fn=_widened)
    return _over(widened, rows, context)


PEERS: dict[str, Callable[[str, int, int], float]] = {
    "nanoGPT's get_batch": nanogpt,
    "litdata": litdata,
    "mosaicml-streaming": streaming,
}
MODULES = {"litdata": "litdata", "mosaicml-streaming": "streaming"}


def _itself(piece: Any) -> Any:
    return piece


def _widened(samples: list[dict[str, Any]]) -> Any:
    import numpy as np

    return _tensor(np.stack([sample["tokens"] for sample in samples]).astype(np.int64))


def _stream(folder: str, context: int) -> Any:
    from groundup.shards.stream import SampleStream
    from groundup.shards.token_file import TokenShard

    return SampleStream(TokenShard.open(Path(folder), "train"), context, seed=1)


def _tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(array)


def _rate(batch: Callable[[int], Any], tokens: int) -> float:
    """Tokens a second: the best of three stretches, after one batch and a pass over the file that are not counted."""
    from time import perf_counter

    batch(0)
    best, step = 0.0, 1
    for _ in range(3):
        first, start = step, perf_counter()
        while (passed := perf_counter() - start) < SECONDS:
            batch(step)
            step += 1
        best = max(best, (step - first) * tokens / passed)
    return best


def _over(loader: Any, rows: int, context: int) -> float:
    """`_rate` of an iterable, begun anew when it ends."""
    batches = iter(loader)

    def following(_step: int) -> Any:
        nonlocal batches
        try:
            return next(batches)
        except StopIteration:
            batches = iter(loader)
            return next(batches)

    return _rate(following, rows * context)
